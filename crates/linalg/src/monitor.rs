//! How a caller watches, stops and lends threads to a computation.

/// Asked between stages. All answers may change from one question to the next; none changes a result.
pub trait Monitor: Sync {
    /// Threads to use now, the calling one included. They come from the rayon pool that the call runs in.
    fn threads(&self) -> usize {
        1
    }

    /// Hears that `flops` more floating-point operations are done; `false` stops the computation with
    /// [`crate::SpectrumError::Stopped`].
    fn advance(&self, flops: f64) -> bool {
        let _ = flops;
        true
    }
}

/// As many threads as it says, never stopped.
#[derive(Clone, Copy, Debug)]
pub struct Threads(pub usize);

impl Monitor for Threads {
    fn threads(&self) -> usize {
        self.0
    }
}

/// A monitor made of two closures: how many threads to use, and what to do when so many flops are done.
#[derive(Clone, Copy, Debug)]
pub struct Watch<T, A>(pub T, pub A);

impl<T: Fn() -> usize + Sync, A: Fn(f64) -> bool + Sync> Monitor for Watch<T, A> {
    fn threads(&self) -> usize {
        (self.0)()
    }

    fn advance(&self, flops: f64) -> bool {
        (self.1)(flops)
    }
}
