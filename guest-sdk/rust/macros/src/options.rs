//! What stands in the parentheses of an attribute.

use proc_macro2::{Span, TokenStream};
use syn::parse::{ParseStream, Parser};
use syn::{Error, Ident, LitInt, Path, Token};

use crate::kind::Kind;

/// The options of an attribute.
pub struct Options {
    /// `version = N`: of the state.
    pub version: u32,
    /// `only_changed`.
    pub only_changed: bool,
    /// `#[migrate(FUNCTION, from = N)]`.
    pub migrates: Option<(Path, u32)>,
}

impl Options {
    /// Reads the options of a function of `kind`.
    ///
    /// # Errors
    ///
    /// An option that it does not have, or a missing one.
    pub fn parse(kind: Kind, options: TokenStream) -> Result<Self, Error> {
        let parser = |input: ParseStream<'_>| Self::read(kind, input);
        parser.parse2(options)
    }

    fn read(kind: Kind, input: ParseStream<'_>) -> Result<Self, Error> {
        let mut read = Self {
            version: 1,
            only_changed: false,
            migrates: None,
        };
        let function = match kind {
            Kind::Migrate => Some(function(input)?),
            _ => None,
        };
        let mut from = None;
        while !input.is_empty() {
            let name: Ident = input.parse()?;
            match (kind, name.to_string().as_str()) {
                (Kind::UpdateState, "only_changed") => read.only_changed = true,
                (Kind::UpdateState | Kind::MapWithState, "version") => {
                    read.version = number(input)?;
                }
                (Kind::Migrate, "from") => from = Some(number(input)?),
                _ => return Err(Error::new(name.span(), unknown(kind, &name))),
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        read.migrates = match (function, from) {
            (Some(function), Some(from)) => Some((function, from)),
            (Some(_), None) => return Err(Error::new(Span::call_site(), MIGRATE)),
            (None, _) => None,
        };
        Ok(read)
    }
}

/// What `#[migrate]` looks like.
const MIGRATE: &str = "the function and the version that is left behind are missing: \
                       `#[migrate(running, from = 1)]`";

fn function(input: ParseStream<'_>) -> Result<Path, Error> {
    if input.is_empty() {
        return Err(Error::new(Span::call_site(), MIGRATE));
    }
    let function = input.parse()?;
    if !input.is_empty() {
        input.parse::<Token![,]>()?;
    }
    Ok(function)
}

/// `= N`, from 1.
fn number(input: ParseStream<'_>) -> Result<u32, Error> {
    input.parse::<Token![=]>()?;
    let literal: LitInt = input.parse()?;
    match literal.base10_parse()? {
        0 => Err(Error::new(literal.span(), "versions are counted from 1")),
        number => Ok(number),
    }
}

fn unknown(kind: Kind, name: &Ident) -> String {
    let known = match kind {
        Kind::UpdateState => "`only_changed` and `version = N`",
        Kind::MapWithState => "`version = N`",
        Kind::Migrate => "the function and `from = N`",
        _ => "none",
    };
    format!(
        "`#[{}]` has no option `{name}`; it has {known}",
        kind.row().name
    )
}
