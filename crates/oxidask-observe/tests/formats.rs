//! Every format shows the whole graph, on a machine without graphviz and without fonts.

use oxidask_observe::drawing::{Drawing, Mark, Text};
use oxidask_observe::formats::{dot, html, json, pdf, png, svg};
use oxidask_observe::layout::Direction;
use oxidask_observe::picture::{Colouring, Kind, Options, Task, TaskGraph, draw};
use oxidask_observe::scene::Style;

const NAMES: [&str; 6] = ["größe", "Σ_k", "a\"b\\c", "<b>&amp;</b>", "mean", "Щука"];

fn graph(labels: &[&str]) -> TaskGraph {
    let task = |(index, label): (u32, &&str)| Task {
        label: (*label).to_owned(),
        detail: index.to_string(),
        key: format!("{label}-{index}"),
        prefix: 0,
        kind: if index == 0 { Kind::Data } else { Kind::Call },
        order: Some(index),
        seconds: None,
        fill: None,
    };
    TaskGraph {
        tasks: (0..).zip(labels).map(task).collect(),
        prefixes: vec!["f".to_owned()],
        edges: (1..labels.len() as u32).map(|index| (index / 3, index)).collect(),
    }
}

fn drawing(labels: &[&str], limit: usize) -> Drawing {
    let options = Options {
        direction: Direction::TopToBottom,
        colouring: Colouring::Order { last: None, fills: Vec::new() },
        limit,
        has_results: false,
        style: Style::default(),
    };
    draw(&graph(labels), &options).expect("the graph has no cycle")
}

/// An image, decoded.
struct Image {
    width: usize,
    height: usize,
    pixels: Vec<[u8; 3]>,
}

impl Image {
    fn of(drawing: &Drawing) -> Self {
        let bytes = png::write(drawing).expect("the drawing is small");
        let decoder = ::png::Decoder::new(std::io::Cursor::new(bytes));
        let mut reader = decoder.read_info().expect("it is a PNG");
        let mut data = vec![0; reader.output_buffer_size().expect("it fits into memory")];
        let info = reader.next_frame(&mut data).expect("it is whole");
        let (pixels, _) = data.as_chunks();
        Self { width: info.width as usize, height: info.height as usize, pixels: pixels.to_vec() }
    }

    /// The colours in a box, in pixels of the drawing, of which the image has two a side.
    fn colours(&self, left: f64, top: f64, width: f64, height: f64) -> Vec<[u8; 3]> {
        let (left, top) = ((2.0 * left) as usize, (2.0 * top) as usize);
        let rows = top..top + (2.0 * height) as usize;
        rows.flat_map(|y| {
            let start = y * self.width + left;
            self.pixels[start..start + (2.0 * width) as usize].iter().copied()
        })
        .collect()
    }
}

fn texts(drawing: &Drawing) -> Vec<&Text> {
    drawing
        .marks
        .iter()
        .flat_map(|mark| match mark {
            Mark::Node { texts, .. } => texts.as_slice(),
            Mark::Text(text) => std::slice::from_ref(text),
            _ => &[],
        })
        .collect()
}

fn rgb(colour: &str) -> [u8; 3] {
    let code = u32::from_str_radix(&colour[1..], 16).expect("#RRGGBB");
    [16, 8, 0].map(|shift| (code >> shift) as u8)
}

#[test]
fn every_text_leaves_ink_in_the_png() {
    let drawing = drawing(&NAMES, 100);
    let image = Image::of(&drawing);
    assert_eq!(
        (image.width, image.height),
        (2 * drawing.size.width as usize, 2 * drawing.size.height as usize)
    );
    let texts = texts(&drawing);
    assert_eq!(texts.len(), 2 * NAMES.len() + 4, "labels, details, legend, caption");
    for text in texts {
        let left = match text.anchor {
            oxidask_observe::drawing::Anchor::Start => text.place.x,
            oxidask_observe::drawing::Anchor::Middle => text.place.x - 3.0,
        };
        let colours = image.colours(left, text.place.y - text.size, 6.0, 1.2 * text.size);
        let ink = rgb(text.ink.light());
        let near = |colour: &&[u8; 3]| colour.iter().zip(ink).all(|(a, b)| a.abs_diff(b) < 90);
        let inked = colours.iter().filter(near).count();
        assert!(inked > 3, "{:?} has {inked} pixels of ink", text.content);
        assert!(inked < colours.len() / 2, "{:?} is text, not a box", text.content);
    }
}

#[test]
fn shapes_have_their_colours_in_the_png() {
    let drawing = drawing(&NAMES, 100);
    let image = Image::of(&drawing);
    for mark in &drawing.marks {
        if let Mark::Node { cards, .. } = mark {
            let front = &cards[cards.len() - 1];
            let fill = image.colours(
                front.corner.x + front.size.width / 2.0,
                front.corner.y + 2.0,
                1.0,
                1.0,
            );
            assert!(fill.contains(&rgb(front.fill.light())), "{fill:?} is not {:?}", front.fill);
        }
    }
}

#[test]
fn a_png_never_takes_more_memory_than_it_may() {
    let names: Vec<String> = (0..60_000).map(|index| format!("task{index}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let graph = TaskGraph { edges: Vec::new(), ..graph(&names) };
    let options = Options {
        direction: Direction::TopToBottom,
        colouring: Colouring::Prefix,
        limit: names.len(),
        has_results: false,
        style: Style::default(),
    };
    let drawing = draw(&graph, &options).expect("the graph has no cycle");
    let error = png::write(&drawing).expect_err("it has a billion pixels").to_string();
    assert!(
        error.contains("too large for a PNG") && error.contains("give a lower limit"),
        "{error}"
    );
}

#[test]
fn pdf_is_one_page_with_its_font() {
    let bytes = pdf::write(&drawing(&NAMES, 100));
    assert!(bytes.starts_with(b"%PDF-1.") && bytes.trim_ascii_end().ends_with(b"%%EOF"));
    let text = String::from_utf8_lossy(&bytes);
    for part in ["/Count 1", "/FontFile2", "/Identity-H", "/ToUnicode", "/Title"] {
        assert!(text.contains(part), "{part} is missing");
    }
    assert!(bytes.len() < 60_000, "{} bytes", bytes.len());
}

#[test]
fn dot_names_every_task_and_dependency() {
    let text = dot::write(&drawing(&NAMES, 100), "node [penwidth=3]");
    assert!(text.starts_with("digraph {\n") && text.ends_with("}\n"));
    assert!(text.contains("\n  node [penwidth=3]\n"));
    assert!(
        text.contains(
            "n2 [label=\"a\\\"b\\\\c\\n2 · #2\", tooltip=\"a\\\"b\\\\c-2\", shape=ellipse"
        )
    );
    assert_eq!(text.matches(" -> ").count(), 5);
    assert_eq!(text.matches("tooltip=").count(), 6);
}

#[test]
fn json_tells_places_and_counts() {
    let text = json::write(&drawing(&["f"; 30], 10));
    assert!(text.starts_with("{\"schema\": \"oxidask.picture/1\","));
    assert!(text.contains("\"kind\": \"call\", \"tasks\": 30, "), "{text}");
    let text = json::write(&drawing(&NAMES, 100));
    assert_eq!(text.matches("\"key\": ").count(), 6);
    assert_eq!(text.matches("\"count\": 1}").count(), 5);
    assert!(text.contains("\"label\": \"a\\\"b\\\\c\""));
}

#[test]
fn html_holds_the_svg_and_nothing_of_a_name_can_run() {
    let nasty = "</script><script>alert(1)</script><img src=x onerror=alert(2)>";
    let drawing = drawing(&[nasty, "mean"], 100);
    let text = html::write(&drawing);
    assert!(text.contains(&svg::write(&drawing)));
    assert_eq!(text.matches("<script").count(), 2);
    assert_eq!(text.matches("</script").count(), 2);
    assert!(!text.contains("<img"));
    assert!(text.contains("id=\"arrows\">[0,1]</script>"));
    let text = html::write(&self::drawing(&["mean"], 100));
    for outside in ["src=", "href=", "@import", "url("] {
        assert!(!text.contains(outside), "{outside} asks for something from outside");
    }
}

#[test]
fn the_same_drawing_gives_the_same_bytes() {
    let drawing = drawing(&NAMES, 100);
    assert_eq!(png::write(&drawing), png::write(&drawing));
    assert_eq!(pdf::write(&drawing), pdf::write(&drawing));
}
