//! An operator's parameters: read once, when the function is opened.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use crate::column::unpack;

/// What a function wants as parameters.
pub trait Parameters {
    /// The parameters, read.
    type Value: 'static;
    /// Whether there must be any.
    const WANTED: bool;

    /// Reads them: one `MessagePack` map, if any were given.
    ///
    /// # Errors
    ///
    /// What is missing, wrong or too much.
    fn read(given: Option<&[u8]>) -> Result<Self::Value, String>;
}

/// A function without parameters.
#[derive(Clone, Copy, Debug)]
pub struct NoParams;

/// A function whose last parameter is a `&P`.
#[derive(Clone, Copy, Debug)]
pub struct Params<P>(PhantomData<fn() -> P>);

impl<P> Params<P> {
    /// Parameters of type `P`.
    pub const fn of() -> Self {
        Self(PhantomData)
    }
}

impl Parameters for NoParams {
    type Value = ();
    const WANTED: bool = false;

    fn read(given: Option<&[u8]>) -> Result<(), String> {
        match given {
            None => Ok(()),
            Some(_) => Err("it takes no parameters".to_owned()),
        }
    }
}

impl<P: DeserializeOwned + 'static> Parameters for Params<P> {
    type Value = P;
    const WANTED: bool = true;

    fn read(given: Option<&[u8]>) -> Result<P, String> {
        let given = given.ok_or("it needs parameters, and none are given")?;
        unpack(given).map_err(|error| format!("its parameters do not fit: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    struct Word {
        word: String,
    }

    #[test]
    fn parameters_are_read_by_name() {
        let given = rmp_serde::to_vec_named(
            &[("word", "error")]
                .into_iter()
                .collect::<std::collections::BTreeMap<_, _>>(),
        )
        .unwrap();
        assert_eq!(Params::<Word>::read(Some(&given)).unwrap().word, "error");
    }

    #[test]
    fn a_missing_parameter_is_named() {
        let error = Params::<Word>::read(Some(&[0x80])).unwrap_err();
        assert_eq!(error, "its parameters do not fit: missing field `word`");
    }

    #[test]
    fn parameters_that_nobody_reads_are_an_error() {
        assert!(NoParams::read(Some(&[0x80])).is_err());
        assert!(Params::<Word>::read(None).is_err());
    }
}
