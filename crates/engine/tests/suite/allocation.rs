//! Once warm, a search allocates nothing.

use crate::common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use auspex_engine::{Collection, Hits, SearchOptions, Token, Write};
use common::{Random, commit, fill, options};

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promises.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(body: impl FnOnce()) -> usize {
    let before = COUNT.with(Cell::get);
    body();
    COUNT.with(Cell::get) - before
}

#[test]
fn a_warm_search_allocates_nothing() {
    let mut random = Random(1);
    let rows = random.clustered(5000, 48, 20);
    for (metric, rows_in, exact) in
        [("l2", 5000, false), ("cosine", 5000, false), ("dot", 5000, true), ("l2", 500, false)]
    {
        let collection = Collection::open(&options(48, metric)).unwrap();
        fill(&collection, &rows[..rows_in * 48], 1000);
        commit(&collection, Write::Delete((0..20).map(|i| i.to_string()).collect())).unwrap();
        let asked = SearchOptions { k: Some(10.0), ef_search: Some(64.0), exact, ..SearchOptions::default() };
        let mut hits = Hits::new();
        let token = Token::default();
        let mut search = |queries: &[f32]| {
            for query in queries.chunks(48) {
                collection.search_into(query, &asked, &token, &mut hits).unwrap();
            }
        };
        let queries = random.clustered(100, 48, 20);
        search(&queries);
        assert_eq!(allocations(|| search(&queries)), 0, "{metric}, {rows_in} rows");
    }
    // The counter counts.
    assert!(allocations(|| drop(std::hint::black_box(vec![1_u8; 100]))) > 0);
}
