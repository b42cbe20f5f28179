//! Work that takes long, off the threads that connections share.

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;

/// Bodies of so many bytes take milliseconds to decode.
const LARGE: usize = 4 << 20;

/// Lets as many large bodies be decoded at a time as there are cores.
pub(crate) struct Heavy(Semaphore);

impl Default for Heavy {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Heavy(Semaphore::new(cores))
    }
}

impl Heavy {
    /// Runs `f`, which works on so many bytes: at once if they are few, else in its turn and while another thread takes
    /// care of this one's connections.
    pub(crate) async fn run<R>(&self, bytes: usize, f: impl FnOnce() -> R) -> R {
        if bytes < LARGE {
            return f();
        }
        // Invariant: the semaphore is never closed; if it were, the turn would not matter.
        let _turn = self.0.acquire().await;
        match Handle::current().runtime_flavor() {
            // There is no other thread.
            RuntimeFlavor::CurrentThread => f(),
            _ => tokio::task::block_in_place(f),
        }
    }
}
