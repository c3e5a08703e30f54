//! Where the boxes of a picture stand: layer under layer, so that every arrow goes down.
//!
//! Sugiyama's method: boxes get layers by their longest path from a source; an arrow over several
//! layers is bent in each of them; the order within the layers is improved by barycentres as long
//! as there are fewer crossings; then every box moves towards the middle of its neighbours, as far
//! as the others of its layer let it.
//!
//! K. Sugiyama, S. Tagawa, M. Toda, "Methods for Visual Understanding of Hierarchical System
//! Structures", 1981.

/// Space between two boxes of a layer.
const GAP: f64 = 28.0;

/// Space between two layers.
const LAYER_GAP: f64 = 46.0;

/// The place that a bent arrow takes in a layer.
const BEND_WIDTH: f64 = 14.0;

/// Rounds of ordering.
const ORDERINGS: usize = 24;

/// Rounds of moving.
const MOVES: usize = 60;

/// Where everything stands.
#[derive(Debug, PartialEq)]
pub(super) struct Layout {
    /// The middle of each box' upper edge.
    pub(super) boxes: Vec<(f64, f64)>,
    /// The points of each arrow, from the lower edge of a box to the upper edge of another: pairs of
    /// where it enters and leaves a layer.
    pub(super) arrows: Vec<Vec<(f64, f64)>>,
    /// Of the whole.
    pub(super) size: (f64, f64),
}

/// Something that takes place in a layer: a box, or the bend of an arrow.
struct Item {
    width: f64,
    /// Neighbours in the layer above and below.
    above: Vec<usize>,
    below: Vec<usize>,
    is_bend: bool,
}

/// Lays out boxes of the given widths and heights; `arrows` have no cycle.
pub(super) fn layout(sizes: &[(f64, f64)], arrows: &[(usize, usize)]) -> Layout {
    let layer_of = layers(sizes.len(), arrows);
    let count = layer_of.iter().max().map_or(0, |last| last + 1);
    let mut layers: Vec<Vec<usize>> = vec![Vec::new(); count];
    let mut items: Vec<Item> = Vec::new();
    for (index, (width, _)) in sizes.iter().enumerate() {
        layers[layer_of[index]].push(index);
        items.push(Item {
            width: *width,
            above: Vec::new(),
            below: Vec::new(),
            is_bend: false,
        });
    }
    let mut paths = Vec::with_capacity(arrows.len());
    for &(from, to) in arrows {
        let mut path = vec![from];
        for layer in &mut layers[layer_of[from] + 1..layer_of[to]] {
            layer.push(items.len());
            path.push(items.len());
            items.push(Item {
                width: BEND_WIDTH,
                above: Vec::new(),
                below: Vec::new(),
                is_bend: true,
            });
        }
        path.push(to);
        for pair in path.windows(2) {
            items[pair[0]].below.push(pair[1]);
            items[pair[1]].above.push(pair[0]);
        }
        paths.push(path);
    }
    order(&mut layers, &items);
    let across = place(&layers, &items);
    finish(sizes, &layers, &layer_of, &across, &paths)
}

/// The layer of each box: one below the lowest that it reads; what reads nothing stands right above
/// what reads it.
fn layers(boxes: usize, arrows: &[(usize, usize)]) -> Vec<usize> {
    let mut layers = vec![0; boxes];
    // Each round settles at least one more layer, and there are no more layers than boxes.
    for _ in 0..boxes {
        let mut settled = true;
        for &(from, to) in arrows {
            if layers[to] <= layers[from] {
                layers[to] = layers[from] + 1;
                settled = false;
            }
        }
        if settled {
            break;
        }
    }
    for index in 0..boxes {
        let reads = arrows.iter().any(|(_, to)| *to == index);
        let readers = arrows.iter().filter(|(from, _)| *from == index);
        let first = readers.map(|(_, to)| layers[*to]).min();
        if let (false, Some(first)) = (reads, first) {
            layers[index] = first - 1;
        }
    }
    layers
}

// === Order ===

/// Orders the items of each layer.
fn order(layers: &mut Vec<Vec<usize>>, items: &[Item]) {
    let mut best = layers.clone();
    let mut fewest = crossings(layers, items);
    for sweep in 0..ORDERINGS {
        let down = sweep % 2 == 0;
        let mut at = vec![0.0; items.len()];
        let indices: Vec<usize> = match down {
            true => (0..layers.len()).collect(),
            false => (0..layers.len()).rev().collect(),
        };
        for index in indices {
            let layer = &mut layers[index];
            for (place, item) in layer.iter().enumerate() {
                let neighbours = match down {
                    true => &items[*item].above,
                    false => &items[*item].below,
                };
                at[*item] = match neighbours.as_slice() {
                    [] => place as f64,
                    some => some.iter().map(|one| at[*one]).sum::<f64>() / some.len() as f64,
                };
            }
            layer.sort_by(|a, b| at[*a].total_cmp(&at[*b]));
            for (place, item) in layer.iter().enumerate() {
                at[*item] = place as f64;
            }
        }
        let found = crossings(layers, items);
        if found < fewest {
            fewest = found;
            best.clone_from(layers);
        }
    }
    *layers = best;
}

/// How many pairs of arrows cross.
fn crossings(layers: &[Vec<usize>], items: &[Item]) -> usize {
    let mut place = vec![0; items.len()];
    for layer in layers {
        for (at, item) in layer.iter().enumerate() {
            place[*item] = at;
        }
    }
    let mut crossings = 0;
    for layer in layers {
        let arrows: Vec<(usize, usize)> = layer
            .iter()
            .flat_map(|item| items[*item].below.iter().map(|to| (*item, *to)))
            .map(|(from, to)| (place[from], place[to]))
            .collect();
        for (index, one) in arrows.iter().enumerate() {
            let crosses = |other: &&(usize, usize)| {
                (one.0 < other.0 && one.1 > other.1) || (one.0 > other.0 && one.1 < other.1)
            };
            crossings += arrows[index + 1..].iter().filter(crosses).count();
        }
    }
    crossings
}

// === Places ===

/// The middle of each item, from left to right.
fn place(layers: &[Vec<usize>], items: &[Item]) -> Vec<f64> {
    let mut at = vec![0.0; items.len()];
    for layer in layers {
        let wanted = vec![0.0; layer.len()];
        settle(layer, items, &wanted, &mut at);
    }
    for sweep in 0..MOVES {
        let indices: Vec<usize> = match sweep % 2 == 0 {
            true => (0..layers.len()).collect(),
            false => (0..layers.len()).rev().collect(),
        };
        for index in indices {
            let layer = &layers[index];
            let wanted: Vec<f64> = layer
                .iter()
                .map(|item| {
                    let Item { above, below, .. } = &items[*item];
                    let neighbours = above.len() + below.len();
                    let sum: f64 = above.iter().chain(below).map(|one| at[*one]).sum();
                    match neighbours {
                        0 => at[*item],
                        some => sum / some as f64,
                    }
                })
                .collect();
            settle(layer, items, &wanted, &mut at);
        }
    }
    // What follows something alone stands right below it.
    for layer in layers {
        let wanted: Vec<f64> = layer
            .iter()
            .map(|item| match items[*item].above.as_slice() {
                [above] if items[*above].below.len() == 1 => at[*above],
                _ => at[*item],
            })
            .collect();
        settle(layer, items, &wanted, &mut at);
    }
    at
}

/// Puts the items of a layer as near as possible to where they want to be, in order and without
/// overlaps: the least squares under the distances, by pooling those that push each other.
fn settle(layer: &[usize], items: &[Item], wanted: &[f64], at: &mut [f64]) {
    /// Items that touch each other: the sum of the weights and of the weighted wishes, once the
    /// distances from the layer's first item are taken off.
    struct Pool {
        weight: f64,
        wish: f64,
        items: usize,
    }
    let mut offsets = Vec::with_capacity(layer.len());
    let mut offset = 0.0;
    for (index, item) in layer.iter().enumerate() {
        if index > 0 {
            let before = items[layer[index - 1]].width;
            offset += f64::midpoint(before, items[*item].width) + GAP;
        }
        offsets.push(offset);
    }
    let mut pools: Vec<Pool> = Vec::new();
    for ((item, wish), offset) in layer.iter().zip(wanted).zip(&offsets) {
        // A long arrow is nicer straight than a box in the very middle.
        let weight = if items[*item].is_bend { 4.0 } else { 1.0 };
        let mut pool = Pool {
            weight,
            wish: weight * (wish - offset),
            items: 1,
        };
        while let Some(last) =
            pools.pop_if(|last| last.wish / last.weight > pool.wish / pool.weight)
        {
            pool.weight += last.weight;
            pool.wish += last.wish;
            pool.items += last.items;
        }
        pools.push(pool);
    }
    let means = pools
        .iter()
        .flat_map(|pool| std::iter::repeat_n(pool.wish / pool.weight, pool.items));
    for ((item, offset), mean) in layer.iter().zip(&offsets).zip(means) {
        at[*item] = mean + offset;
    }
}

/// Brings everything to the right of and below the origin.
fn finish(
    sizes: &[(f64, f64)],
    layers: &[Vec<usize>],
    layer_of: &[usize],
    across: &[f64],
    paths: &[Vec<usize>],
) -> Layout {
    let edges = |index: usize| {
        let half = sizes.get(index).map_or(BEND_WIDTH, |size| size.0) / 2.0;
        (across[index] - half, across[index] + half)
    };
    let left = (0..across.len()).map(|index| edges(index).0);
    let left = left.fold(f64::INFINITY, f64::min).min(f64::MAX);
    let right = (0..across.len()).map(|index| edges(index).1);
    let right = right.fold(f64::NEG_INFINITY, f64::max).max(f64::MIN);
    let mut tops = Vec::with_capacity(layers.len());
    let mut heights = Vec::with_capacity(layers.len());
    let mut top = 0.0;
    for layer in layers {
        let height = layer.iter().filter_map(|item| sizes.get(*item));
        let height = height.fold(0.0, |most, size| f64::max(most, size.1));
        tops.push(top);
        heights.push(height);
        top += height + LAYER_GAP;
    }
    // Boxes of a layer are centred on a line.
    let box_top = |index: usize| {
        let layer = layer_of[index];
        tops[layer] + (heights[layer] - sizes[index].1) / 2.0
    };
    let arrow = |path: &Vec<usize>| {
        let (from, to) = (path[0], path[path.len() - 1]);
        let mut points = vec![(across[from] - left, box_top(from) + sizes[from].1)];
        for (layer, bend) in (layer_of[from] + 1..).zip(&path[1..path.len() - 1]) {
            let x = across[*bend] - left;
            points.push((x, tops[layer]));
            points.push((x, tops[layer] + heights[layer]));
        }
        points.push((across[to] - left, box_top(to)));
        points
    };
    Layout {
        boxes: (0..sizes.len())
            .map(|index| (across[index] - left, box_top(index)))
            .collect(),
        arrows: paths.iter().map(arrow).collect(),
        size: (f64::max(right - left, 0.0), f64::max(top - LAYER_GAP, 0.0)),
    }
}
