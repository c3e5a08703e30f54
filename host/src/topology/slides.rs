//! When each stream fires: a window or slide is a multiple of the slide of what it looks at, and
//! streams that meet have the same.

use super::plan::Upstream;
use super::problem::quoted;
use super::reader::{Located, Reader};
use super::streams::StreamSpec;

/// Time between two firings of each stream, where those of all it reads are known.
pub(super) fn slides(
    reader: &mut Reader<'_>,
    batch: Option<&Located>,
    streams: &[StreamSpec<'_>],
    from: &[Vec<Upstream>],
    order: &[usize],
) -> Vec<Option<Located>> {
    let mut slides: Vec<Option<Located>> = vec![None; from.len()];
    for stream in order {
        let parents = from[*stream].iter().map(|upstream| match upstream {
            Upstream::Source(_) => batch,
            Upstream::Stream(upstream) => slides[*upstream].as_ref(),
        });
        let parents: Option<Vec<&Located>> = parents.collect();
        let slide = slide(reader, &streams[*stream], &parents.unwrap_or_default());
        slides[*stream] = slide;
    }
    slides
}

/// Time between two firings of a stream, if those of all it reads are known.
fn slide(
    reader: &mut Reader<'_>,
    stream: &StreamSpec<'_>,
    parents: &[&Located],
) -> Option<Located> {
    let parent = *parents.first()?;
    let name = quoted(&stream.name);
    let parent_raw = quoted(&parent.raw);
    let other = parents
        .iter()
        .position(|one| one.duration != parent.duration);
    if let Some(other) = other {
        let end = |index: usize| {
            let read = stream.from.get(index);
            let read = read.map_or_else(String::new, |read| quoted(read.raw));
            format!("{read}, which slides by {}", quoted(&parents[index].raw))
        };
        let message = format!("stream {name} reads {}, and {}", end(0), end(other));
        let at = stream.from.get(other).map_or(stream.at, |name| name.at);
        let hint = "streams that meet have the same slide; a `window` can bring one to the other's";
        reader.wrong_hint(at, &message, hint);
        return None;
    }
    let own = [("window", &stream.window), ("slide", &stream.slide)];
    for (key, located) in own {
        let Some(located) = located else {
            continue;
        };
        let (own, parent) = (located.duration.as_millis(), parent.duration.as_millis());
        if own == 0 || !own.is_multiple_of(parent.max(1)) {
            let raw = quoted(&located.raw);
            let message =
                format!("`{key}` of stream {name} is {raw}, which is no multiple of {parent_raw}");
            let hint = "that is how often the stream fires that it reads";
            reader.wrong_hint(located.at, &message, hint);
        }
    }
    stream.slide.clone().or_else(|| Some(parent.clone()))
}
