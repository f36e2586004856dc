//! The dashboard's front end, as it was built from `web/`: files of this library, so that nothing has to
//! be found or fetched at run time.

/// A file that a browser asks for.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// Its media type.
    pub kind: &'static str,
    /// What is in it.
    pub content: &'static [u8],
}

const HTML: &[u8] = include_bytes!("../assets/index.html");
const SCRIPT: &[u8] = include_bytes!("../assets/assets/app.js");
const STYLE: &[u8] = include_bytes!("../assets/assets/app.css");

/// The licences of what the script is built from.
const LICENCES: &[u8] = include_bytes!("../assets/licenses.txt");

/// The pages that the script shows. One that is not here is not there.
const PAGES: [&str; 8] =
    ["status", "stream", "progress", "graph", "headroom", "workers", "errors", "about"];

/// The file of a path, without the slash before it.
pub fn file(path: &str) -> Option<File> {
    let (kind, content) = match path {
        "assets/app.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "assets/app.css" => ("text/css; charset=utf-8", STYLE),
        "licenses.txt" => ("text/plain; charset=utf-8", LICENCES),
        page if PAGES.contains(&page) => ("text/html; charset=utf-8", HTML),
        _ => return None,
    };
    Some(File { kind, content })
}
