//! How long an instance lives, where that is not one partition of one attempt.
//!
//! [`KeptInstances`] is `instances = "job"`: an instance that has served a partition serves the next one.
//! [`FreshInstances`] is the other end, for tests: an instance for every call.

use std::sync::{Arc, Mutex, PoisonError};

use crate::batch::function::{
    Binding, Context, Function, Migrated, Outcome, RecordRef, Request, Trap,
};
use crate::batch::{Column, Digest};

/// Idle instances of one binding that are kept; there are never more in use than workers.
const MAX_IDLE: usize = 64;

type Pool = Arc<Mutex<Vec<Box<dyn Function>>>>;

/// A binding whose instances are used again.
pub struct KeptInstances {
    binding: Arc<dyn Binding>,
    idle: Pool,
}

impl KeptInstances {
    /// Keeps the instances of `binding`.
    #[must_use]
    pub fn new(binding: Arc<dyn Binding>) -> Self {
        Self {
            binding,
            idle: Pool::default(),
        }
    }
}

impl Binding for KeptInstances {
    fn instantiate(&self, first: &Context) -> Result<Box<dyn Function>, Trap> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let instance = match idle {
            Some(instance) => instance,
            None => self.binding.instantiate(first)?,
        };
        Ok(Box::new(Lent {
            instance: Some(instance),
            home: Arc::clone(&self.idle),
        }))
    }

    fn digest(&self) -> Digest {
        self.binding.digest()
    }

    fn links(&self) -> Result<Vec<Arc<dyn Binding>>, Trap> {
        self.binding.links()
    }

    fn migrate(&self, from: u32, states: &Column) -> Result<Migrated, Trap> {
        self.binding.migrate(from, states)
    }
}

/// An instance that goes back when it is dropped, unless it trapped.
struct Lent {
    instance: Option<Box<dyn Function>>,
    home: Pool,
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut idle = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.extend(self.instance.take());
        }
    }
}

impl Function for Lent {
    fn call(
        &mut self,
        context: &Context,
        request: &Request,
        skip: &[RecordRef],
    ) -> Result<Outcome, Trap> {
        let Some(instance) = &mut self.instance else {
            return Err(Trap::broken_promise(
                "the instance was called again after a trap",
            ));
        };
        let outcome = instance.call(context, request, skip);
        if outcome.is_err() {
            self.instance = None;
        }
        outcome
    }
}

/// A binding that makes an instance for every call.
pub struct FreshInstances {
    binding: Arc<dyn Binding>,
}

impl FreshInstances {
    /// Instances of `binding` serve one call each.
    #[must_use]
    pub fn new(binding: Arc<dyn Binding>) -> Self {
        Self { binding }
    }
}

impl Binding for FreshInstances {
    fn instantiate(&self, _: &Context) -> Result<Box<dyn Function>, Trap> {
        Ok(Box::new(PerCall(Arc::clone(&self.binding))))
    }

    fn digest(&self) -> Digest {
        self.binding.digest()
    }

    fn links(&self) -> Result<Vec<Arc<dyn Binding>>, Trap> {
        self.binding.links()
    }

    fn migrate(&self, from: u32, states: &Column) -> Result<Migrated, Trap> {
        self.binding.migrate(from, states)
    }
}

struct PerCall(Arc<dyn Binding>);

impl Function for PerCall {
    fn call(
        &mut self,
        context: &Context,
        request: &Request,
        skip: &[RecordRef],
    ) -> Result<Outcome, Trap> {
        self.0.instantiate(context)?.call(context, request, skip)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::batch::function::{Report, TrapKind};
    use crate::batch::{BatchTime, Chunk};

    /// Counts its instances; each counts its calls, and traps on an empty chunk.
    #[derive(Default)]
    struct Counting(AtomicUsize);

    struct Counted(usize);

    impl Binding for Counting {
        fn instantiate(&self, _: &Context) -> Result<Box<dyn Function>, Trap> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(Box::new(Counted(0)))
        }

        fn digest(&self) -> Digest {
            Digest::of(b"counting")
        }
    }

    impl Function for Counted {
        fn call(
            &mut self,
            _: &Context,
            request: &Request,
            _: &[RecordRef],
        ) -> Result<Outcome, Trap> {
            self.0 += 1;
            if *request == Request::Chunk(Chunk::single(Column::int64([]))) {
                return Err(Trap {
                    kind: TrapKind::Trapped,
                    message: "nothing there".to_owned(),
                    backtrace: Vec::new(),
                });
            }
            let calls = i64::try_from(self.0).unwrap();
            let chunk = Chunk::single(Column::int64([calls]));
            Ok(Outcome::records(chunk, Report::default()))
        }
    }

    const CONTEXT: Context = Context {
        batch_time: BatchTime(1000),
        partition: 0,
        sequence: 0,
        seed: 0,
    };

    fn call(instance: &mut dyn Function, records: usize) -> Option<Chunk> {
        let input = Chunk::single(Column::int64(vec![0; records]));
        instance
            .call(&CONTEXT, &Request::Chunk(input), &[])
            .ok()
            .map(|outcome| outcome.chunk)
    }

    fn calls(count: i64) -> Option<Chunk> {
        Some(Chunk::single(Column::int64([count])))
    }

    #[test]
    fn a_kept_instance_serves_one_partition_after_the_other_until_it_traps() {
        let counting = Arc::new(Counting::default());
        let kept = KeptInstances::new(Arc::clone(&counting) as _);
        assert_eq!(call(&mut *kept.instantiate(&CONTEXT).unwrap(), 1), calls(1));
        assert_eq!(call(&mut *kept.instantiate(&CONTEXT).unwrap(), 1), calls(2));
        let mut trapped = kept.instantiate(&CONTEXT).unwrap();
        assert_eq!(call(&mut *trapped, 0), None);
        assert_eq!(call(&mut *trapped, 1), None, "never called again");
        drop(trapped);
        assert_eq!(call(&mut *kept.instantiate(&CONTEXT).unwrap(), 1), calls(1));
        assert_eq!(counting.0.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_fresh_instance_serves_one_call() {
        let counting = Arc::new(Counting::default());
        let fresh = FreshInstances::new(Arc::clone(&counting) as _);
        let mut instance = fresh.instantiate(&CONTEXT).unwrap();
        assert_eq!(call(&mut *instance, 1), calls(1));
        assert_eq!(call(&mut *instance, 1), calls(1));
        assert_eq!(counting.0.load(Ordering::Relaxed), 2);
    }
}
