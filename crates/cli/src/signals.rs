//! Ctrl-C and a polite kill.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};
use weightscope::Cancel;

use crate::exit::Exit;

/// Watches for signals; the first asks the scan to stop, a second ends the program at once.
#[derive(Debug)]
pub(crate) struct Signals {
    stop: Arc<AtomicBool>,
    which: Arc<AtomicUsize>,
    /// Of the handlers that end the program at once.
    hard: Vec<SigId>,
}

impl Signals {
    /// Installs the handlers.
    pub(crate) fn install() -> Self {
        let (stop, which) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut hard = Vec::new();
        for (signal, code) in [(SIGINT, 130), (SIGTERM, 143)] {
            // The order matters: the second signal finds the flag already up. A handler that cannot be
            // installed leaves the default, which ends the program.
            let at_once =
                signal_hook::flag::register_conditional_shutdown(signal, code, Arc::clone(&stop));
            hard.extend(at_once);
            let _ = signal_hook::flag::register_usize(signal, Arc::clone(&which), code as usize);
            let _ = signal_hook::flag::register(signal, Arc::clone(&stop));
        }
        // A write beyond the limit on file sizes is an error to report, not a reason to be killed.
        #[cfg(unix)]
        let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
        Self { stop, which, hard }
    }

    /// A token that the handlers raise.
    pub(crate) fn cancel(&self) -> Cancel {
        Cancel::from_flag(Arc::clone(&self.stop))
    }

    /// From now on no signal ends the program at once: the terminal is to be put in order first.
    pub(crate) fn ask_only(&self) {
        for handler in &self.hard {
            signal_hook::low_level::unregister(*handler);
        }
    }

    /// Whether a signal came.
    #[cfg(any(feature = "hub", feature = "tui"))]
    pub(crate) fn is_raised(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// How an interrupted run ends.
    pub(crate) fn exit(&self) -> Exit {
        if self.which.load(Ordering::Relaxed) == 143 { Exit::Terminated } else { Exit::Interrupted }
    }
}
