//! Ctrl-C and a polite kill.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use weightscope::Cancel;

use crate::exit::Exit;

/// Watches for signals; the first asks the scan to stop, a second ends the program at once.
#[derive(Debug)]
pub(crate) struct Signals {
    stop: Arc<AtomicBool>,
    which: Arc<AtomicUsize>,
}

impl Signals {
    /// Installs the handlers.
    pub(crate) fn install() -> Self {
        let (stop, which) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        for (signal, code) in [(SIGINT, 130), (SIGTERM, 143)] {
            // The order matters: the second signal finds the flag already up. A handler that cannot be
            // installed leaves the default, which ends the program.
            let _ =
                signal_hook::flag::register_conditional_shutdown(signal, code, Arc::clone(&stop));
            let _ = signal_hook::flag::register_usize(signal, Arc::clone(&which), code as usize);
            let _ = signal_hook::flag::register(signal, Arc::clone(&stop));
        }
        // A write beyond the limit on file sizes is an error to report, not a reason to be killed.
        #[cfg(unix)]
        let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
        Self { stop, which }
    }

    /// A token that the handlers raise.
    pub(crate) fn cancel(&self) -> Cancel {
        Cancel::from_flag(Arc::clone(&self.stop))
    }

    /// How an interrupted run ends.
    pub(crate) fn exit(&self) -> Exit {
        if self.which.load(Ordering::Relaxed) == 143 { Exit::Terminated } else { Exit::Interrupted }
    }
}
