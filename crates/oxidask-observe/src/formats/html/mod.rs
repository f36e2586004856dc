//! One self-contained HTML page: the SVG with pan, zoom, search, and the lineage of a task.
//!
//! Without scripts the picture is there all the same, in a page that scrolls.

use std::fmt::Write as _;

use super::svg;
use crate::drawing::Drawing;
use crate::text::push_escaped;

const STYLE: &str = include_str!("viewer.css");
const SCRIPT: &str = include_str!("viewer.js");

/// Writes a drawing as a page.
pub fn write(drawing: &Drawing) -> String {
    let mut out = String::from(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
    );
    push_escaped(&drawing.scene.title, &mut out);
    let _ = write!(out, "</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{BAR}<main>\n");
    out.push_str(&svg::write(drawing));
    out.push_str("</main>\n<p id=\"said\" role=\"status\"></p>\n");
    // Numbers only: nothing in it can end the script.
    out.push_str("<script type=\"application/json\" id=\"arrows\">[");
    for (index, arrow) in drawing.scene.arrows.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(out, "{comma}{},{}", arrow.source, arrow.target);
    }
    let _ = write!(out, "]</script>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n");
    out
}

const BAR: &str = "\
<header hidden>
<input id=\"search\" type=\"search\" placeholder=\"Search tasks  ( / )\" aria-label=\"Search tasks\" autocomplete=\"off\" spellcheck=\"false\">
<output id=\"found\" for=\"search\"></output>
<span></span>
<button id=\"out\" aria-label=\"Zoom out\" title=\"Zoom out ( - )\">&minus;</button>
<button id=\"in\" aria-label=\"Zoom in\" title=\"Zoom in ( + )\">+</button>
<button id=\"fit\" title=\"Show all ( 0 )\">Fit</button>
</header>
";
