//! The picture as SVG: one file without scripts or fonts of its own, readable on white and in a
//! dark room.

use std::fmt::Write as _;

use super::layout::layout;
use super::picture::{Card, CardKind, Picture};

/// Around the whole.
const MARGIN: f64 = 24.0;

/// Left and right of a box' text.
const PADDING: f64 = 14.0;

/// The height of a line of text, and of what is above the first and below the last.
const LINE: f64 = 17.0;
const HEAD: f64 = 22.0;
const FOOT: f64 = 10.0;

/// Widths of a character in pixels, of the title and of the lines. No font is measured here:
/// these are those of the widest common ones.
const TITLE_CHARACTER: f64 = 8.4;
const LINE_CHARACTER: f64 = 7.3;

/// The narrowest box.
const LEAST_WIDTH: f64 = 96.0;

const STYLE: &str = "\
<style>
  .page { fill: #ffffff }
  text { font-family: system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif; text-anchor: middle }
  .title { font-size: 14px; font-weight: 600; fill: #1b2330 }
  .line, .gives { font-family: ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace; font-size: 12px }
  .line { fill: #3d4757 }
  .gives { fill: #6a7484 }
  .arrow { fill: none; stroke: #8a94a6; stroke-width: 1.5 }
  #head path { fill: #8a94a6 }
  rect { stroke-width: 1.5 }
  .source { fill: #e3f5ea; stroke: #3f9a69 }
  .stream { fill: #e9f0fc; stroke: #5b87c7 }
  .window { fill: #f0e9fb; stroke: #8f68c4 }
  .state { fill: #fdf0dc; stroke: #c98f35 }
  .sink { fill: #eef0f3; stroke: #7d8697 }
  @media (prefers-color-scheme: dark) {
    .page { fill: #14181f }
    .title { fill: #eef1f6 }
    .line { fill: #c3cad6 }
    .gives { fill: #98a2b3 }
    .source { fill: #183326 }
    .stream { fill: #1b2a41 }
    .window { fill: #2b2140 }
    .state { fill: #3a2c14 }
    .sink { fill: #272c35 }
  }
</style>
";

/// Draws it.
pub(super) fn draw(picture: &Picture) -> String {
    let sizes: Vec<(f64, f64)> = picture.boxes.iter().map(size).collect();
    let layout = layout(&sizes, &picture.arrows);
    let (width, height) = (layout.size.0 + 2.0 * MARGIN, layout.size.1 + 2.0 * MARGIN);
    let mut out = String::new();
    // Memory takes every write.
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\">"
    );
    out.push_str(STYLE);
    out.push_str(
        "<defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" \
         markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\"/></marker></defs>\n",
    );
    out.push_str("<rect class=\"page\" width=\"100%\" height=\"100%\" stroke=\"none\"/>\n");
    let _ = writeln!(out, "<g transform=\"translate({MARGIN} {MARGIN})\">");
    for points in &layout.arrows {
        let path = curve(points);
        let _ = writeln!(
            out,
            "<path class=\"arrow\" marker-end=\"url(#head)\" d=\"{path}\"/>"
        );
    }
    for ((node, size), at) in picture.boxes.iter().zip(&sizes).zip(&layout.boxes) {
        draw_box(node, *size, *at, &mut out);
    }
    out.push_str("</g>\n</svg>\n");
    out
}

fn size(node: &Card) -> (f64, f64) {
    let lines = node.lines.iter().chain(&node.gives);
    let characters = lines.map(|line| line.chars().count()).max().unwrap_or(0);
    let title = node.title.chars().count() as f64 * TITLE_CHARACTER;
    let text = f64::max(title, characters as f64 * LINE_CHARACTER);
    let count = node.lines.len() + usize::from(node.gives.is_some());
    (
        f64::max((text + 2.0 * PADDING).round(), LEAST_WIDTH),
        HEAD + count as f64 * LINE + FOOT,
    )
}

fn draw_box(node: &Card, (width, height): (f64, f64), (middle, top): (f64, f64), out: &mut String) {
    let class = match node.sort {
        CardKind::Source => "source",
        CardKind::Stream => "stream",
        CardKind::Window => "window",
        CardKind::State => "state",
        CardKind::Sink => "sink",
    };
    let round = match node.sort {
        CardKind::Source | CardKind::Sink => 18.0,
        CardKind::Stream | CardKind::Window | CardKind::State => 6.0,
    };
    let left = middle - width / 2.0;
    let _ = writeln!(
        out,
        "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" \
         height=\"{height:.1}\" rx=\"{round}\"/>"
    );
    let mut baseline = top + HEAD;
    let lines = node.lines.iter().map(|line| ("line", line));
    let gives = node.gives.iter().map(|line| ("gives", line));
    let texts = [("title", &node.title)]
        .into_iter()
        .chain(lines)
        .chain(gives);
    for (class, text) in texts {
        let text = escaped(text);
        let _ = writeln!(
            out,
            "<text class=\"{class}\" x=\"{middle:.1}\" y=\"{baseline:.1}\">{text}</text>"
        );
        baseline += LINE;
    }
}

/// A smooth line through layers: straight within one, curved between two.
fn curve(points: &[(f64, f64)]) -> String {
    let mut path = String::new();
    for pair in points.chunks(2) {
        let &[(x, y), (to_x, to_y)] = pair else {
            continue;
        };
        if path.is_empty() {
            let _ = write!(path, "M{x:.1} {y:.1}");
        } else {
            let _ = write!(path, "L{x:.1} {y:.1}");
        }
        let half = f64::midpoint(y, to_y);
        let _ = write!(
            path,
            "C{x:.1} {half:.1} {to_x:.1} {half:.1} {to_x:.1} {to_y:.1}"
        );
    }
    path
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}
