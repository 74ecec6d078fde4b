//! Which rows are worth comparing with which: overlapping leaves of near rows, by carving random balls.
//!
//! ```text
//! all rows -> leaders, drawn at random; each row joins its nearest few -> parts
//! a part of more than LEAF rows -> the same again, each row joins its nearest one -> ... -> leaves
//! ```
//! Everything is counted, drawn with the seed, or compared by exact keys, so the leaves are the same with any number of
//! threads and on any instruction set. A part that its leaders cannot tell apart is cut into pieces, so every level of
//! parts is smaller than the one before it. The idea is PiPNN's (2026).

use auspex_kernel::{Columns, Dots, Facts, Kernels, Line, Nearest, Sixteen, TILE, TILE_ROWS, pack};

use crate::codes::{Codes, Moments, extended, mix};
use crate::error::{Error, Result};
use crate::rows::Rows;
use crate::workers::Workers;

/// Rows of a leaf at most.
pub(super) const LEAF: usize = 1000;
/// Leaves that a row is in at most: leaders that it joins on the first level. It joins one on the levels below.
pub(super) const FAN: usize = 5;
/// Rows that a leader is drawn for.
const PER_LEADER: usize = LEAF * 7 / 20;
const MOST_LEADERS: usize = 1008;
/// Parts smaller than this are put together.
const CRUMB: usize = LEAF / 8;
/// Rows for which [`in_order`] draws a leader.
const TOGETHER: usize = 24;
/// Rows that are compared with the leaders at a time: their panels stay in the first-level cache.
const ROWS: usize = 4 * TILE;

/// Set at a row's home: the one leaf where its node is numbered, that of its nearest leader.
pub(super) const HOME: u32 = 1 << 31;

/// The codes of a layer's rows in one piece, so that nothing stands between them and the kernels.
pub(crate) struct Block {
    lines: usize,
    codes: Vec<Line>,
    pub moments: Vec<Moments>,
}

/// Zeroed memory, or the error that says how much is missing.
pub(super) fn reserved<T: Clone>(count: usize, value: T) -> Result<Vec<T>> {
    let mut vec = Vec::new();
    let bytes = count.saturating_mul(size_of::<T>());
    vec.try_reserve_exact(count).map_err(|_| Error::memory(bytes, "building the graph"))?;
    vec.resize(count, value);
    Ok(vec)
}

impl Block {
    /// The codes of `rows`.
    pub fn encode(codes: &Codes, vectors: &Rows, rows: &[u32], workers: Workers) -> Result<Block> {
        let lines = codes.stride() / 64;
        let mut block = Block::with_room(lines, rows.len())?;
        let mut both: Vec<(&mut [Line], &mut Moments)> =
            block.codes.chunks_exact_mut(lines).zip(&mut block.moments).collect();
        workers.for_each_chunk(
            &mut both,
            256,
            || (),
            |(), first, piece| {
                for ((lines, moments), &row) in piece.iter_mut().zip(&rows[first..]) {
                    **moments = codes.encode_into(vectors, row, Line::bytes_mut(lines));
                }
            },
        );
        Ok(block)
    }

    fn with_room(lines: usize, rows: usize) -> Result<Block> {
        let codes = reserved(lines * rows, Line([0; 64]))?;
        Ok(Block { lines, codes, moments: reserved(rows, Moments::default())? })
    }

    /// The block of some of this one's rows, in their order.
    pub fn gather(&self, rows: &[u32], workers: Workers) -> Result<Block> {
        let mut block = Block::with_room(self.lines, rows.len())?;
        let mut both: Vec<(&mut [Line], &mut Moments)> =
            block.codes.chunks_exact_mut(self.lines).zip(&mut block.moments).collect();
        workers.for_each_chunk(
            &mut both,
            1024,
            || (),
            |(), first, piece| {
                for ((lines, moments), &row) in piece.iter_mut().zip(&rows[first..]) {
                    lines.copy_from_slice(self.lines_of(row as usize));
                    **moments = self.moments[row as usize];
                }
            },
        );
        Ok(block)
    }

    pub fn len(&self) -> usize {
        self.moments.len()
    }

    fn lines_of(&self, row: usize) -> &[Line] {
        &self.codes[row * self.lines..][..self.lines]
    }

    #[inline(always)]
    pub fn code(&self, row: usize) -> &[u8] {
        Line::bytes(self.lines_of(row))
    }

    /// Squared distances of `row` to each of `others`.
    #[inline(always)]
    pub fn distances(&self, kernels: &Kernels, row: usize, others: &[u32; 4]) -> [f32; 4] {
        let codes = others.map(|other| self.code(other as usize));
        let own = &self.moments[row];
        let mut distances = [0.0; 4];
        kernels.l2_squared_u8_gather(self.code(row), own.squares, &codes, &mut distances);
        std::array::from_fn(|i| extended(distances[i], own.extra, self.moments[others[i] as usize].extra))
    }
}

/// Rows of a block in panels.
#[derive(Default)]
pub(super) struct Panels {
    lines: Vec<Line>,
    pub facts: Vec<Facts>,
    /// Lines of a panel.
    height: usize,
}

impl Panels {
    /// Takes the place of what was there.
    pub fn fill(&mut self, block: &Block, rows: impl ExactSizeIterator<Item = u32>) {
        let count = rows.len().div_ceil(TILE);
        self.height = block.lines * 64 / 4;
        self.lines.resize(count * self.height, Line([0; 64]));
        self.facts.clear();
        self.facts.resize(count, Facts::NONE);
        for (i, row) in rows.enumerate() {
            let (panel, lane) = (i / TILE, i % TILE);
            pack(&mut self.lines[panel * self.height..][..self.height], lane, block.code(row as usize));
            let moments = &block.moments[row as usize];
            self.facts[panel].norms.0[lane] = moments.squares;
            self.facts[panel].extras.0[lane] = moments.extra;
        }
    }

    pub fn count(&self) -> usize {
        self.facts.len()
    }

    pub fn panel(&self, panel: usize) -> &[Line] {
        &self.lines[panel * self.height..][..self.height]
    }
}

pub(super) const NO_DOTS: Dots = [Sixteen([0; TILE]); TILE];

/// Leaves, one behind the other.
pub(super) struct Leaves {
    /// Rows, with [`HOME`] once each.
    pub members: Vec<u32>,
    /// Where each leaf begins, and the end.
    pub starts: Vec<u32>,
}

impl Leaves {
    pub fn count(&self) -> usize {
        self.starts.len() - 1
    }

    pub fn leaf(&self, leaf: usize) -> &[u32] {
        &self.members[self.starts[leaf] as usize..self.starts[leaf + 1] as usize]
    }
}

/// Cuts all rows of a block into leaves.
pub(super) fn partition(block: &Block, kernels: &Kernels, workers: Workers, seed: u64) -> Leaves {
    let mut parts = vec![(0..block.len() as u32).map(|row| row | HOME).collect::<Vec<u32>>()];
    let mut fan = FAN;
    while parts.iter().any(|part| part.len() > LEAF) {
        let carve = |part: Vec<u32>, inner: Option<Workers>| {
            if part.len() <= LEAF { vec![part] } else { carve(block, kernels, inner, &part, fan, seed) }
        };
        parts = if parts.len() < 16 {
            parts.into_iter().flat_map(|part| carve(part, Some(workers))).collect()
        } else {
            let mut each: Vec<(Vec<u32>, Vec<Vec<u32>>)> = parts.into_iter().map(|part| (part, Vec::new())).collect();
            workers.for_each_chunk(
                &mut each,
                1,
                || (),
                |(), _, piece| {
                    for (part, children) in piece {
                        *children = carve(std::mem::take(part), None);
                    }
                },
            );
            each.into_iter().flat_map(|(_, children)| children).collect()
        };
        fan = 1;
    }
    let mut leaves = Leaves { members: Vec::with_capacity(parts.iter().map(Vec::len).sum()), starts: vec![0] };
    for part in parts {
        leaves.members.extend_from_slice(&part);
        leaves.starts.push(leaves.members.len() as u32);
    }
    leaves
}

/// All rows of a block, each near the one before it: from leader to leader that is nearest of those left, and of each
/// leader's rows likewise.
pub(super) fn in_order(block: &Block, kernels: &Kernels, workers: Workers, seed: u64) -> Vec<u32> {
    let mut rows: Vec<u32> = (0..block.len() as u32).collect();
    if rows.len() < 2 * TOGETHER {
        return rows;
    }
    let mut leaders = leaders(&rows, (rows.len() / TOGETHER).min(MOST_LEADERS), seed);
    thread(block, kernels, &mut leaders);
    let joined = joined(block, kernels, Some(workers), &rows, &leaders, 1);
    rows.sort_by_key(|&row| joined[row as usize]);
    for cell in rows.chunk_by_mut(|&a, &b| joined[a as usize] == joined[b as usize]) {
        if cell.len() <= 4 * TOGETHER {
            thread(block, kernels, cell);
        }
    }
    rows
}

/// Puts behind each row the nearest of those left.
fn thread(block: &Block, kernels: &Kernels, rows: &mut [u32]) {
    for i in 1..rows.len() {
        let (before, left) = rows.split_at_mut(i);
        let own = before[i - 1] as usize;
        let mut nearest = (f32::INFINITY, 0);
        for (first, four) in left.chunks(4).enumerate() {
            let others = std::array::from_fn(|j| four[j.min(four.len() - 1)]);
            let distances = block.distances(kernels, own, &others);
            for (j, distance) in distances.into_iter().take(four.len()).enumerate() {
                if distance < nearest.0 {
                    nearest = (distance, first * 4 + j);
                }
            }
        }
        left.swap(0, nearest.1);
    }
}

/// Some of a part's rows, drawn at random.
fn leaders(part: &[u32], wanted: usize, seed: u64) -> Vec<u32> {
    let row = |member: u32| member & !HOME;
    let own = mix(seed ^ mix((part.len() as u64) << 32 | u64::from(row(part[0]))));
    let mut leaders: Vec<u32> =
        (0..wanted as u64).map(|i| row(part[(mix(own ^ i) % part.len() as u64) as usize])).collect();
    leaders.sort_unstable();
    leaders.dedup();
    leaders
}

/// The `fan` nearest leaders of each of a part's rows, nearest first.
fn joined(
    block: &Block,
    kernels: &Kernels,
    workers: Option<Workers>,
    part: &[u32],
    leaders: &[u32],
    fan: usize,
) -> Vec<u32> {
    let mut panels = Panels::default();
    panels.fill(block, leaders.iter().copied());
    let mut joined = vec![u32::MAX; part.len() * fan];
    let join = |scratch: &mut Panels, first: usize, piece: &mut [u32]| {
        let members = &part[first / fan..][..piece.len() / fan];
        nearest_leaders(block, kernels, &panels, scratch, members, first / fan, fan, piece);
    };
    match workers {
        Some(workers) => workers.for_each_chunk(&mut joined, ROWS * fan, Panels::default, join),
        None => {
            let mut scratch = Panels::default();
            joined.chunks_mut(ROWS * fan).enumerate().for_each(|(i, piece)| join(&mut scratch, i * ROWS * fan, piece));
        }
    }
    // Distances that are no numbers name no leader; every row has one all the same.
    for (i, leaders_of) in joined.chunks_exact_mut(fan).enumerate().filter(|(_, of)| of[0] == u32::MAX) {
        leaders_of[0] = (i % leaders.len()) as u32;
    }
    joined
}

/// Cuts a part into smaller ones.
fn carve(
    block: &Block,
    kernels: &Kernels,
    workers: Option<Workers>,
    part: &[u32],
    fan: usize,
    seed: u64,
) -> Vec<Vec<u32>> {
    let row = |member: u32| member & !HOME;
    let wanted = (part.len().div_ceil(PER_LEADER) * fan).clamp(2, MOST_LEADERS);
    let leaders = leaders(part, wanted, seed);
    let fan = fan.min(leaders.len());
    let joined = joined(block, kernels, workers, part, &leaders, fan);
    let mut counts = vec![0; leaders.len()];
    joined.iter().filter(|&&leader| leader != u32::MAX).for_each(|&leader| counts[leader as usize] += 1);
    let mut groups: Vec<Vec<u32>> = counts.into_iter().map(Vec::with_capacity).collect();
    for (&member, leaders_of) in part.iter().zip(joined.chunks_exact(fan)) {
        for (rank, &leader) in leaders_of.iter().enumerate().filter(|&(_, &leader)| leader != u32::MAX) {
            groups[leader as usize].push(if rank == 0 { member } else { row(member) });
        }
    }
    settle(groups, part.len())
}

/// The nearest leaders of `members`, of which the first is number `first` of its part.
#[allow(clippy::too_many_arguments)]
fn nearest_leaders(
    block: &Block,
    kernels: &Kernels,
    leaders: &Panels,
    scratch: &mut Panels,
    members: &[u32],
    first: usize,
    fan: usize,
    out: &mut [u32],
) {
    scratch.fill(block, members.iter().map(|member| member & !HOME));
    let mut lists = [[Nearest::NONE; TILE]; ROWS / TILE];
    let mut dots = NO_DOTS;
    let number = |panel: usize| (first + panel * TILE) & (TILE_ROWS - 1);
    for leader in 0..leaders.count() {
        for (panel, lists) in lists.iter_mut().enumerate().take(scratch.count()) {
            kernels.tile_dots(scratch.panel(panel), leaders.panel(leader), &mut dots);
            let (rows, columns) = ((&scratch.facts[panel], number(panel)), (&leaders.facts[leader], leader * TILE));
            kernels.tile_offer(&dots, fan, rows, lists, columns, Columns::Silent);
        }
    }
    for (i, out) in out.chunks_exact_mut(fan).enumerate() {
        let list = &lists[i / TILE][i % TILE];
        for (out, (_, leader)) in out.iter_mut().zip(list.rows(number(i / TILE) + i % TILE)) {
            *out = leader as u32;
        }
    }
}

/// Puts crumbs together, and cuts what did not become smaller.
fn settle(groups: Vec<Vec<u32>>, whole: usize) -> Vec<Vec<u32>> {
    let mut parts = Vec::with_capacity(groups.len());
    let mut crumbs: Vec<u32> = Vec::new();
    let sweep = |crumbs: &mut Vec<u32>, parts: &mut Vec<Vec<u32>>| {
        // A row that came twice stays once, at home if one of them was.
        crumbs.sort_unstable_by_key(|&member| (member & !HOME, member & HOME == 0));
        crumbs.dedup_by_key(|member| *member & !HOME);
        parts.push(std::mem::take(crumbs));
    };
    for group in groups.into_iter().filter(|group| !group.is_empty()) {
        if group.len() < CRUMB {
            crumbs.extend(group);
            if crumbs.len() > LEAF / 2 {
                sweep(&mut crumbs, &mut parts);
            }
        } else if group.len() > LEAF && group.len() > whole / 4 * 3 {
            let pieces = group.len().div_ceil(LEAF);
            parts.extend(group.chunks(group.len().div_ceil(pieces)).map(<[u32]>::to_vec));
        } else {
            parts.push(group);
        }
    }
    if !crumbs.is_empty() {
        sweep(&mut crumbs, &mut parts);
    }
    parts
}

/// A block of made-up codes, for tests.
#[cfg(test)]
pub(super) fn block(rows: usize, code: impl Fn(usize, usize) -> u8, extra: impl Fn(usize) -> f32) -> Block {
    let mut block = Block::with_room(1, rows).unwrap();
    for row in 0..rows {
        let bytes = Line::bytes_mut(&mut block.codes[row..=row]);
        bytes.iter_mut().take(24).enumerate().for_each(|(i, byte)| *byte = code(row, i));
        let squares = bytes.iter().map(|&x| u32::from(x).pow(2)).sum();
        block.moments[row] = Moments { squares, extra: extra(row), ..Moments::default() };
    }
    block
}

#[cfg(test)]
mod tests {
    use auspex_kernel::{Isa, kernels, kernels_for};
    use proptest::prelude::*;

    use super::*;

    /// Checks what must hold of leaves, and gives them.
    fn leaves(block: &Block, threads: usize) -> Vec<u32> {
        let leaves = partition(block, kernels().unwrap(), Workers::build(threads).unwrap(), 7);
        let mut homes = vec![0; block.len()];
        for leaf in 0..leaves.count() {
            let members = leaves.leaf(leaf);
            assert!((1..=LEAF).contains(&members.len()));
            let mut rows: Vec<u32> = members.iter().map(|member| member & !HOME).collect();
            rows.sort_unstable();
            assert!(rows.windows(2).all(|pair| pair[0] < pair[1]), "a row stands in a leaf twice");
            members.iter().filter(|&member| member & HOME != 0).for_each(|m| homes[(m & !HOME) as usize] += 1);
        }
        assert!(homes.iter().all(|&home| home == 1), "a row has no home, or two");
        assert!(leaves.members.len() <= FAN * block.len());
        leaves.members
    }

    /// A code that looks random.
    fn noise(row: usize, i: usize) -> u8 {
        mix((row * 64 + i) as u64) as u8
    }

    #[test]
    fn hostile_rows_are_cut_into_leaves_too() {
        let none = |_: usize| 0.0;
        let far = |row: usize| if row.is_multiple_of(3) { f32::INFINITY } else { row as f32 * 1e18 };
        for count in [1, 2, 999, 1000, 1001, 5000, 20_000] {
            let blocks = [
                block(count, noise, none),
                // All alike; all alike but one; two that are far apart; a line; few distinct ones.
                block(count, |_, _| 9, none),
                block(count, |row, _| if row == 0 { 255 } else { 3 }, none),
                block(count, |row, _| if row % 2 == 0 { 0 } else { 255 }, none),
                block(count, |row, i| if i == 0 { (row * 255 / count) as u8 } else { 0 }, none),
                block(count, |row, i| (row % 7 * i) as u8, none),
                // Distances that are no numbers.
                block(count, noise, far),
                block(count, noise, |_| f32::INFINITY),
            ];
            for block in blocks {
                let one = leaves(&block, 1);
                assert!([2, 4].into_iter().all(|threads| leaves(&block, threads) == one));
            }
        }
    }

    #[test]
    fn every_instruction_set_cuts_the_same_leaves() {
        let block = block(3000, noise, |row| (row % 5) as f32);
        let cut = |isa: &Isa| partition(&block, kernels_for(*isa).unwrap(), Workers::build(2).unwrap(), 7).members;
        let all: Vec<Vec<u32>> = Isa::available().iter().map(cut).collect();
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..Default::default() })]

        #[test]
        fn any_rows_are_cut_into_leaves(count in 1..6000_usize, clusters in 1..40_usize, spread in 0..40_u8, seed: u64) {
            let centre = |row: usize, i: usize| mix(seed ^ (row % clusters * 64 + i) as u64) as u8;
            let jitter = |row: usize, i: usize| (mix(seed ^ (row * 64 + i + 99) as u64) % (u64::from(spread) + 1)) as u8;
            leaves(&block(count, |row, i| centre(row, i).saturating_add(jitter(row, i)), |_| 0.0), 2);
        }
    }
}
