//! Memory between two pages that cannot be touched.

use std::ffi::{c_int, c_long, c_void};

unsafe extern "C" {
    fn mmap(at: *mut c_void, bytes: usize, protection: c_int, flags: c_int, file: c_int, offset: c_long)
    -> *mut c_void;
    fn mprotect(at: *mut c_void, bytes: usize, protection: c_int) -> c_int;
}

const NONE: c_int = 0;
const READ_AND_WRITE: c_int = 3;
const PRIVATE_AND_ANONYMOUS: c_int = 0x22;

/// No page of Linux is larger.
const PAGE: usize = 65_536;

/// At least `n` elements whose neighbours on both sides cannot be read. Never unmapped.
pub fn guarded<T: Copy>(n: usize, value: T) -> &'static mut [T] {
    let bytes = (n * size_of::<T>()).next_multiple_of(PAGE);
    // SAFETY: a new mapping of its own, larger than the part that becomes a slice; that part is aligned to a page,
    // readable, writable, and wholly written before it is used.
    unsafe {
        let all = mmap(std::ptr::null_mut(), bytes + 2 * PAGE, NONE, PRIVATE_AND_ANONYMOUS, -1, 0);
        assert!(all.addr() as isize != -1);
        let inner = all.add(PAGE);
        assert_eq!(mprotect(inner, bytes, READ_AND_WRITE), 0);
        let first = inner.cast::<T>();
        for i in 0..bytes / size_of::<T>() {
            first.add(i).write(value);
        }
        std::slice::from_raw_parts_mut(first, bytes / size_of::<T>())
    }
}
