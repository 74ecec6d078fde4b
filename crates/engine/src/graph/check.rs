//! What must hold of any graph, whatever was written: checked in tests, and counted for `stats`.

use crate::graph::layer::PROTECTED;
use crate::graph::{GraphView, LAYERS};
use crate::rows::Tombstones;

/// Nodes with a live row that no walk from the entry point can reach.
pub(crate) fn unreachable(view: &GraphView, rows: u32, tombstones: &Tombstones) -> u64 {
    let mut seen = vec![false; view.nodes() as usize];
    let mut entries = Vec::new();
    // From the top: what a layer reaches is where the next one starts.
    for layer in (0..view.height()).rev() {
        let links = &view.graph.layers[layer];
        let mut reached = vec![false; view.slots[layer] as usize];
        let mut queue = if entries.is_empty() { vec![0] } else { std::mem::take(&mut entries) };
        queue.iter().for_each(|&slot| reached[slot as usize] = true);
        let mut at = 0;
        while at < queue.len() {
            for slot in links.links(queue[at]).filter(|&slot| slot < view.slots[layer]) {
                if !std::mem::replace(&mut reached[slot as usize], true) {
                    queue.push(slot);
                }
            }
            at += 1;
        }
        if layer > 0 {
            entries = queue.iter().map(|&slot| links.down(slot)).collect();
        } else {
            seen = reached;
        }
    }
    (0..view.nodes()).filter(|&node| !seen[node as usize] && view.is_live(node, rows, tombstones)).count() as u64
}

/// Mean links of a node on layer 0.
pub(crate) fn mean_degree(view: &GraphView) -> f64 {
    let links: usize = (0..view.nodes()).map(|node| view.graph.layers[0].links(node).count()).sum();
    links as f64 / f64::from(view.nodes().max(1))
}

/// Everything that is wrong with the links, a sentence each, at most ten.
pub(crate) fn problems(view: &GraphView) -> Vec<String> {
    let mut problems = Vec::new();
    for layer in 0..LAYERS {
        let links = &view.graph.layers[layer];
        for slot in 0..view.slots[layer] {
            let mut list: Vec<u32> = links.links(slot).collect();
            let marked = links.marked_links(slot).filter(|link| link & PROTECTED != 0).count();
            if list.len() > links.capacity() || marked > links.capacity().max(2) {
                problems.push(format!("layer {layer}: slot {slot} has {} links, {marked} protected", list.len()));
            }
            if list.contains(&slot) {
                problems.push(format!("layer {layer}: slot {slot} links to itself"));
            }
            if list.iter().any(|&link| link >= view.slots[layer]) {
                problems.push(format!("layer {layer}: slot {slot} links to a slot that is not there"));
            }
            list.sort_unstable();
            if list.windows(2).any(|pair| pair[0] == pair[1]) {
                problems.push(format!("layer {layer}: slot {slot} links twice to a slot"));
            }
            if layer > 0 {
                let below = links.down(slot);
                if below >= view.slots[layer - 1] || view.graph.layers[layer - 1].node(below) != links.node(slot) {
                    problems.push(format!("layer {layer}: slot {slot} does not stand on its own node"));
                }
            }
            for link in links.marked_links(slot).filter(|link| link & PROTECTED != 0) {
                if !links.marked_links(link & !PROTECTED).any(|back| back == slot | PROTECTED) {
                    problems.push(format!("layer {layer}: slot {slot} protects a link that is not returned"));
                }
            }
            if problems.len() >= 10 {
                return problems;
            }
        }
    }
    problems
}
