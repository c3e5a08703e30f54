//! The picture as a Mermaid flowchart, which Markdown viewers draw.

use std::fmt::Write as _;

use super::picture::{Card, CardKind, Picture};

/// Colours that are readable on white and on black.
const CLASSES: &str = "\
    classDef source fill:#d9f2e3,stroke:#2f855a,color:#12281d
    classDef stream fill:#e3ecfb,stroke:#3b6fb6,color:#13213a
    classDef window fill:#ede4fb,stroke:#7a4fb5,color:#241338
    classDef state fill:#fdebd3,stroke:#b7791f,color:#3b2607
    classDef sink fill:#e9ebef,stroke:#5d6675,color:#1c2027
";

/// Writes it.
pub(super) fn write(picture: &Picture) -> String {
    let mut out = String::from("flowchart TD\n");
    for (index, node) in picture.boxes.iter().enumerate() {
        let (open, close, class) = match node.sort {
            CardKind::Source => ("([", "])", "source"),
            CardKind::Stream => ("[", "]", "stream"),
            CardKind::Window => ("[", "]", "window"),
            CardKind::State => ("[", "]", "state"),
            CardKind::Sink => ("[/", "/]", "sink"),
        };
        let label = label(node);
        // Memory takes every write.
        let _ = writeln!(out, "    n{index}{open}\"{label}\"{close}:::{class}");
    }
    for (from, to) in &picture.arrows {
        let _ = writeln!(out, "    n{from} --> n{to}");
    }
    out.push_str(CLASSES);
    out
}

fn label(node: &Card) -> String {
    let mut label = format!("<b>{}</b>", escaped(&node.title));
    for line in node.lines.iter().chain(&node.gives) {
        label.push_str("<br/>");
        label.push_str(&escaped(line));
    }
    label
}

/// Mermaid reads entities without an ampersand.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' => out.push_str("#quot;"),
            '<' => out.push_str("#lt;"),
            '>' => out.push_str("#gt;"),
            '#' => out.push_str("#35;"),
            other => out.push(other),
        }
    }
    out
}
