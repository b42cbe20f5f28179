//! Settings of the view runtime.

/// Bounds of what views hold and save.
#[derive(Clone, Copy, Debug)]
pub struct ViewConfig {
    /// A view's state is saved when the log has grown by this many bytes of rows.
    pub checkpoint_bytes: u64,
    /// Commits that wait for one view hold at most this many bytes; then it lets go of them and is rebuilt from history.
    pub queue_bytes: u64,
    /// A state is saved in slices of at most as many groups, each between two commits.
    pub slice_groups: usize,
}

impl Default for ViewConfig {
    fn default() -> Self {
        Self {
            checkpoint_bytes: 64 << 20,
            queue_bytes: 512 << 20,
            slice_groups: 4_096,
        }
    }
}
