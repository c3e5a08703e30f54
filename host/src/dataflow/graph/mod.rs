//! Which operators a plan becomes, and how they are joined.
//!
//! | where | what |
//! |---|---|
//! | `build` | all operators of a plan, in its order |
//! | `wiring` | what was built so far, and the shapes that operators share |
//! | `narrow` | operators that work where their input is |
//! | `whole` | operators whose result is one partition, and `repartition` |
//! | `keyed` | operators by key, with and without state |
//! | `windows` | operators with a window |

mod build;
mod keyed;
mod narrow;
mod whole;
mod windows;
mod wiring;

pub(super) use build::build;
