//! All pairs in tiles are the pairs one by one, and the lists are what sorting gives.

use crate::common;

use auspex_kernel::{Columns, Dots, Facts, Kernels, Line, Nearest, Sixteen, TILE, TILE_ROWS, kernels_for, pack};
use common::{Random, kernels_here, scalar};

const NO_DOTS: Dots = [Sixteen([0; TILE]); TILE];

/// Codes of rows, in panels and with facts.
struct Group {
    rows: Vec<Vec<u8>>,
    panels: Vec<Vec<Line>>,
    facts: Vec<Facts>,
}

impl Group {
    fn new(rows: Vec<Vec<u8>>, extra: impl Fn(usize) -> f32) -> Group {
        let n = rows[0].len();
        let mut panels = Vec::new();
        let mut facts = Vec::new();
        for (p, some) in rows.chunks(TILE).enumerate() {
            let mut panel = vec![Line([0; 64]); n.div_ceil(4)];
            let mut known = Facts::NONE;
            for (lane, row) in some.iter().enumerate() {
                pack(&mut panel, lane, row);
                known.norms.0[lane] = scalar().dot_u8(row, row);
                known.extras.0[lane] = extra(p * TILE + lane);
            }
            panels.push(panel);
            facts.push(known);
        }
        Group { rows, panels, facts }
    }

    /// The nearest `k` of each row among the others, by tiles.
    fn nearest(&self, kernels: &Kernels, k: usize) -> Vec<Nearest> {
        let mut lists = vec![[Nearest::NONE; TILE]; self.panels.len()];
        let mut dots = NO_DOTS;
        for a in 0..self.panels.len() {
            for b in a..self.panels.len() {
                kernels.tile_dots(&self.panels[a], &self.panels[b], &mut dots);
                let (before, after) = lists.split_at_mut(b.max(a + 1));
                let back = if a == b { Columns::Same } else { Columns::Mutual(&mut after[0]) };
                let (rows, columns) = ((&self.facts[a], a * TILE), (&self.facts[b], b * TILE));
                kernels.tile_offer(&dots, k, rows, &mut before[a], columns, back);
            }
        }
        lists.concat()[..self.rows.len()].to_vec()
    }
}

fn random(random: &mut Random, rows: usize, n: usize, few: &[u8]) -> Vec<Vec<u8>> {
    let mut code = || if few.is_empty() { random.next() as u8 } else { few[random.below(few.len())] };
    (0..rows).map(|_| (0..n).map(|_| code()).collect()).collect()
}

#[test]
fn tiles_are_the_products_one_by_one() {
    let mut source = Random(1);
    for n in [1, 3, 4, 5, 31, 64, 100, 128, 192, 384, 1000, 4096] {
        for few in [&[][..], &[0, 255], &[255], &[127, 128]] {
            let (a, b) = (random(&mut source, 16, n, few), random(&mut source, 13, n, few));
            let (a, b) = (Group::new(a, |_| 0.0), Group::new(b, |_| 0.0));
            for kernels in kernels_here() {
                let mut dots = NO_DOTS;
                kernels.tile_dots(&a.panels[0], &b.panels[0], &mut dots);
                for (row, dots) in a.rows.iter().zip(&dots) {
                    for (j, &dot) in dots.0.iter().enumerate() {
                        let truth = b.rows.get(j).map_or(0, |column| scalar().dot_u8(row, column));
                        assert_eq!(dot, truth, "{kernels:?} {n} dimensions");
                    }
                }
            }
        }
    }
}

#[test]
fn lists_are_the_least_keys() {
    let mut source = Random(2);
    // Random codes, few distinct ones, and all alike; with and without one more coordinate.
    for (n, few, extras) in [
        (16, &[][..], 0.0),
        (128, &[], 0.0),
        (5, &[0, 1], 0.0),
        (8, &[7], 0.0),
        (64, &[], 37.5),
        (64, &[], 1e19),
        (64, &[], f32::INFINITY),
        (4096, &[0, 255], 0.0),
    ] {
        for count in [1, 2, 15, 16, 17, 50, 200] {
            let rows = random(&mut source, count, n, few);
            let extra = |i: usize| if extras == 0.0 { 0.0 } else { extras * (i % 7) as f32 };
            let group = Group::new(rows, extra);
            for k in [1, 7, 16] {
                for kernels in kernels_here() {
                    let lists = group.nearest(kernels, k);
                    for (i, list) in lists.iter().enumerate() {
                        let mut keys: Vec<u32> = (0..count)
                            .filter(|&j| j != i)
                            .map(|j| {
                                let codes = scalar().l2_squared_u8(&group.rows[i], &group.rows[j]);
                                let extra = extra(i) - extra(j);
                                let squared = extra * extra;
                                ((codes as f32 + squared).to_bits() & 0x7fff_fc00) | (i ^ j) as u32
                            })
                            .filter(|&key| key < f32::INFINITY.to_bits())
                            .collect();
                        keys.sort_unstable();
                        keys.truncate(k);
                        let near: Vec<(f32, usize)> = list.rows(i).take(k).collect();
                        let truth: Vec<(f32, usize)> = keys
                            .iter()
                            .map(|key| (f32::from_bits(key & 0x7fff_fc00), (*key as usize & 1023) ^ i))
                            .collect();
                        assert_eq!(near, truth, "{kernels:?}: row {i} of {count}, {n} dimensions, k {k}");
                    }
                }
            }
        }
    }
}

#[test]
fn silent_columns_learn_nothing() {
    let mut source = Random(3);
    let (a, b) = (random(&mut source, 16, 40, &[]), random(&mut source, 16, 40, &[]));
    let (a, b) = (Group::new(a, |_| 0.0), Group::new(b, |_| 0.0));
    for kernels in kernels_here() {
        let mut dots = NO_DOTS;
        kernels.tile_dots(&a.panels[0], &b.panels[0], &mut dots);
        let (mut alone, mut both, mut back) = ([Nearest::NONE; TILE], [Nearest::NONE; TILE], [Nearest::NONE; TILE]);
        let last = TILE_ROWS - TILE;
        kernels.tile_offer(&dots, 5, (&a.facts[0], last), &mut alone, (&b.facts[0], 32), Columns::Silent);
        kernels.tile_offer(&dots, 5, (&a.facts[0], last), &mut both, (&b.facts[0], 32), Columns::Mutual(&mut back));
        assert_eq!(alone, both);
        assert!(alone.iter().enumerate().all(|(r, list)| list.rows(last + r).all(|(_, j)| (32..48).contains(&j))));
        assert!(back.iter().enumerate().all(|(r, list)| list.rows(32 + r).all(|(_, i)| i >= last)));
    }
}

#[test]
fn wrong_panels_panic() {
    let line = Line([0; 64]);
    for isa in auspex_kernel::Isa::available() {
        let kernels = kernels_for(*isa).unwrap();
        let facts = Facts::NONE;
        let calls: [&dyn Fn(); 4] = [
            &|| kernels.tile_dots(&[line; 3], &[line; 4], &mut { NO_DOTS }),
            &|| kernels.tile_dots(&vec![line; 8193], &vec![line; 8193], &mut { NO_DOTS }),
            &|| {
                kernels.tile_offer(&NO_DOTS, 0, (&facts, 0), &mut { [Nearest::NONE; TILE] }, (&facts, 0), Columns::Same)
            },
            &|| {
                kernels.tile_offer(&NO_DOTS, 1, (&facts, 3), &mut { [Nearest::NONE; TILE] }, (&facts, 0), Columns::Same)
            },
        ];
        for call in calls {
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).is_err(), "{kernels:?}");
        }
    }
}
