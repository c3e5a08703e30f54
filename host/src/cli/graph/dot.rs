//! The picture in Graphviz' language.

use std::fmt::Write as _;

use super::picture::{CardKind, Picture};

/// Writes it.
pub(super) fn write(picture: &Picture, name: &str) -> String {
    let mut out = format!("digraph \"{}\" {{\n", escaped(name));
    out.push_str("    node [shape=box, style=\"rounded,filled\", fontname=\"sans-serif\"];\n");
    for (index, node) in picture.boxes.iter().enumerate() {
        let lines = [&node.title].into_iter().chain(&node.lines);
        let lines = lines.chain(&node.gives).map(|line| escaped(line));
        let label = lines.collect::<Vec<_>>().join("\\n");
        let colour = match node.sort {
            CardKind::Source => "#d9f2e3",
            CardKind::Stream => "#e3ecfb",
            CardKind::Window => "#ede4fb",
            CardKind::State => "#fdebd3",
            CardKind::Sink => "#e9ebef",
        };
        // Memory takes every write.
        let _ = writeln!(
            out,
            "    n{index} [label=\"{label}\", fillcolor=\"{colour}\"];"
        );
    }
    for (from, to) in &picture.arrows {
        let _ = writeln!(out, "    n{from} -> n{to};");
    }
    out.push_str("}\n");
    out
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
