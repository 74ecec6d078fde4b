//! Hints to the cache: nothing but time depends on them.

/// Asks for every 64-byte line of `slice` in a cache nearby; does nothing where there is no such hint.
///
/// On x86-64 that is the second level: the first has few lines on their way at a time (24 on Zen 4), and what asks for more
/// waits.
#[inline(always)]
pub fn prefetch<T>(slice: &[T]) {
    let start = slice.as_ptr().cast::<u8>();
    // From the beginning of the first line, or an unaligned slice would lose its last one.
    let within = start.addr() % 64;
    let mut at = 0;
    while at < within + size_of_val(slice) {
        line(start.wrapping_sub(within).wrapping_add(at));
        at += 64;
    }
}

/// Asks for the line of an address, which need not be anybody's.
#[inline(always)]
#[cfg_attr(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))), allow(unused_variables))]
pub(crate) fn line(address: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: SSE belongs to x86-64, and a prefetch reads nothing: any address may be given, mapped or not.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(address.cast());
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: a prefetch reads nothing and changes no register: any address may be given, mapped or not.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{0}]", in(reg) address, options(nostack, preserves_flags, readonly));
    }
}
