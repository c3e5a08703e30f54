//! What a picture must be, and its text forms.

use expect_test::expect;

use super::layout::layout;
use super::picture::Picture;
use super::{dot, mermaid, svg};
use crate::topology::plan::Plan;
use crate::topology::{Options, parse};

const TOPOLOGY: &str = r#"
[topology]
name = "a-b"
batch = "1s"
[source.lines]
type = "stdin"
[stream.words]
from = "lines"
op = "flat_map"
function = "p/split"
[stream.recent]
from = "words"
op = "window"
window = "30s"
slide = "10s"
[stream.both]
from = ["recent", "recent"]
op = "union"
[sink.out]
from = "both"
type = "print"
"#;

fn plan(text: &str) -> Plan {
    let options = Options {
        environment: &|_| None,
        workers: 1,
        observe: &[],
    };
    match parse("t.toml".as_ref(), text, &options) {
        Ok(parsed) => parsed.plan,
        Err(problems) => panic!("{problems}"),
    }
}

#[test]
fn mermaid_and_dot_say_what_is_in_the_boxes() {
    let plan = plan(TOPOLOGY);
    let picture = Picture::new(&plan, None);
    expect![[r#"
        flowchart TD
            n0(["<b>lines</b><br/>stdin"]):::source
            n1["<b>words</b><br/>flat_map<br/>p/split"]:::stream
            n2["<b>recent</b><br/>window<br/>window 30s, every 10s"]:::window
            n3["<b>both</b><br/>union<br/>every 10s"]:::stream
            n4[/"<b>out</b><br/>print"/]:::sink
            n0 --> n1
            n1 --> n2
            n2 --> n3
            n2 --> n3
            n3 --> n4
        classDef source fill:#d9f2e3,stroke:#2f855a,color:#12281d
            classDef stream fill:#e3ecfb,stroke:#3b6fb6,color:#13213a
            classDef window fill:#ede4fb,stroke:#7a4fb5,color:#241338
            classDef state fill:#fdebd3,stroke:#b7791f,color:#3b2607
            classDef sink fill:#e9ebef,stroke:#5d6675,color:#1c2027
    "#]]
    .assert_eq(&mermaid::write(&picture));
    expect![[r##"
        digraph "a-b" {
            node [shape=box, style="rounded,filled", fontname="sans-serif"];
            n0 [label="lines\nstdin", fillcolor="#d9f2e3"];
            n1 [label="words\nflat_map\np/split", fillcolor="#e3ecfb"];
            n2 [label="recent\nwindow\nwindow 30s, every 10s", fillcolor="#ede4fb"];
            n3 [label="both\nunion\nevery 10s", fillcolor="#e3ecfb"];
            n4 [label="out\nprint", fillcolor="#e9ebef"];
            n0 -> n1;
            n1 -> n2;
            n2 -> n3;
            n2 -> n3;
            n3 -> n4;
        }
    "##]]
    .assert_eq(&dot::write(&picture, &plan.name));
}

#[test]
fn a_window_says_which_function_is_its_inverse() {
    let text = r#"
[topology]
batch = "1s"
[source.numbers]
type = "stdin"
[stream.total]
from = "numbers"
op = "reduce_by_window"
function = "p/add"
inverse = "p/sub"
window = "30s"
[sink.out]
from = "total"
type = "print"
"#;
    let picture = Picture::new(&plan(text), None);
    let total = &picture.boxes[1];
    expect!["reduce_by_window / p/add / inverse p/sub / window 30s, every 1s"]
        .assert_eq(&total.lines.join(" / "));
}

#[test]
fn a_drawing_has_every_name_once_and_nothing_unescaped() {
    let mut picture = Picture::new(&plan(TOPOLOGY), None);
    picture.boxes[0].title = "<script>&\"".to_owned();
    let drawn = svg::draw(&picture);
    for name in [
        "words",
        "recent",
        "both",
        "out",
        "&lt;script&gt;&amp;&quot;",
    ] {
        assert_eq!(drawn.matches(&format!(">{name}<")).count(), 1, "{name}");
    }
    assert!(!drawn.contains("<script"));
    assert_eq!(drawn.matches("<rect").count(), 1 + picture.boxes.len());
    assert_eq!(
        drawn.matches("class=\"arrow\"").count(),
        picture.arrows.len()
    );
}

/// Arrows of a made-up graph of `boxes`, always the same for the same seed, each from a lower to a
/// higher number.
fn made_up(boxes: usize, mut seed: u64) -> Vec<(usize, usize)> {
    let mut next = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize % below
    };
    (1..boxes)
        .flat_map(|to| (0..=next(2)).map(|_| (next(to), to)).collect::<Vec<_>>())
        .collect()
}

#[test]
fn no_boxes_overlap_and_every_arrow_goes_down() {
    for (boxes, seed) in [(0, 1), (1, 1), (5, 2), (12, 3), (40, 4), (120, 5)] {
        let sizes: Vec<(f64, f64)> = (0..boxes)
            .map(|index| {
                (
                    80.0 + (index % 7) as f64 * 30.0,
                    40.0 + (index % 3) as f64 * 20.0,
                )
            })
            .collect();
        let arrows = made_up(boxes, seed);
        let made = layout(&sizes, &arrows);
        assert_eq!(made, layout(&sizes, &arrows), "the same again");
        for (one, (x, y)) in made.boxes.iter().enumerate() {
            assert!(x - sizes[one].0 / 2.0 > -0.01 && x + sizes[one].0 / 2.0 < made.size.0 + 0.01);
            assert!(*y > -0.01 && y + sizes[one].1 < made.size.1 + 0.01);
            for (other, (to_x, to_y)) in made.boxes.iter().enumerate().skip(one + 1) {
                let apart = (x - to_x).abs() > f64::midpoint(sizes[one].0, sizes[other].0)
                    || y + sizes[one].1 < *to_y
                    || to_y + sizes[other].1 < *y;
                assert!(apart, "{one} and {other} of {boxes}");
            }
        }
        for points in &made.arrows {
            assert!(points.windows(2).all(|pair| pair[0].1 <= pair[1].1));
        }
    }
}

#[test]
fn a_line_of_boxes_is_straight_and_a_diamond_has_no_crossing() {
    let sizes = [(100.0, 40.0), (200.0, 40.0), (50.0, 40.0)];
    let line = layout(&sizes, &[(0, 1), (1, 2)]);
    assert!(line.boxes.iter().all(|(x, _)| (x - 100.0).abs() < 1.0));
    let sizes = [(100.0, 40.0); 4];
    let diamond = layout(&sizes, &[(0, 1), (0, 2), (1, 3), (2, 3)]);
    assert_eq!(diamond.boxes[1].1, diamond.boxes[2].1);
    assert!(diamond.boxes[1].0 + 100.0 < diamond.boxes[2].0);
}
