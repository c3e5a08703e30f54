//! How the process keeps freed memory.
//!
//! Chunks are hundreds of kilobytes and live for a moment. The C library's allocator gives such
//! blocks back to the kernel when they are freed and faults them in again, page by page, when they
//! are made: a sixth of a word count's time, measured. What a batch has used is kept for the next
//! one instead.

/// Blocks up to this size are kept when they are freed, and as many bytes at the end of each heap.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT_BYTES: libc::c_int = 512 * 1024 * 1024;

/// Has freed blocks kept for the process. To be called once, before threads are started.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(
    unsafe_code,
    reason = "the allocator is set up by a call into the C library"
)]
pub fn keep_freed() {
    // SAFETY: two numbers of the allocator are set; it takes its own lock, and refuses what it does
    // not like.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, KEPT_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES);
    }
}

/// Other allocators decide for themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn keep_freed() {}
