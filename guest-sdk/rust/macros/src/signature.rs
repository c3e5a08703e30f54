//! A function's signature, checked against the shapes of its kind.

use proc_macro2::TokenStream;
use quote::quote;
use syn::spanned::Spanned;
use syn::{Error, Expr, ExprLit, FnArg, GenericParam, ItemFn, Lit, Meta, ReturnType, Type};

use crate::kind::Kind;
use crate::types::{Plain, is_named, is_reference, plain};

/// A function that has, as far as tokens tell, a shape of its kind.
pub struct Signature {
    pub kind: Kind,
    pub function: ItemFn,
    /// The types of the parameters that carry data.
    pub data: Vec<Type>,
    /// What follows them.
    pub tail: Vec<Tail>,
    /// What it returns.
    pub output: Type,
}

/// A parameter behind those that carry data.
pub enum Tail {
    Context,
    Params(Box<Type>),
}

impl Signature {
    /// Checks `function`.
    ///
    /// # Errors
    ///
    /// Where it departs from the shapes of `kind`, and what they are.
    pub fn new(kind: Kind, function: ItemFn) -> Result<Self, Error> {
        check_qualifiers(kind, &function)?;
        let mut types = Vec::new();
        for input in &function.sig.inputs {
            types.push(parameter(kind, input)?);
        }
        let data = data_parameters(kind, &types);
        let (fewest, most) = kind.row().parameters;
        if data < fewest {
            return Err(error(kind, &function.sig.ident, &takes(types.len())));
        }
        if data > most {
            return Err(error(kind, &types[most], "takes a parameter too many"));
        }
        let tail = tail(kind, types.split_off(data))?;
        let output = match &function.sig.output {
            ReturnType::Type(_, ty) => Type::clone(ty),
            ReturnType::Default => return Err(error(kind, &function.sig.ident, "returns nothing")),
        };
        if !kind.may_refuse() && is_named(&output, "Result") {
            return Err(error(kind, &output, "returns a `Result`"));
        }
        check_types(kind, &types, &output)?;
        Ok(Self {
            kind,
            data: types,
            tail,
            output,
            function,
        })
    }

    /// The author's description.
    pub fn doc(&self) -> String {
        let mut lines = Vec::new();
        for attribute in &self.function.attrs {
            if let Meta::NameValue(pair) = &attribute.meta
                && pair.path.is_ident("doc")
                && let Expr::Lit(ExprLit {
                    lit: Lit::Str(text),
                    ..
                }) = &pair.value
            {
                let text = text.value();
                lines.push(text.strip_prefix(' ').unwrap_or(&text).to_owned());
            }
        }
        lines.join("\n")
    }

    /// The marker of the parameters it takes.
    pub fn params(&self) -> TokenStream {
        let params = self.tail.iter().find_map(|tail| match tail {
            Tail::Params(ty) => Some(ty),
            Tail::Context => None,
        });
        match params {
            Some(ty) => quote!(::dshost_guest::glue::Params::<#ty>::of()),
            None => quote!(::dshost_guest::glue::NoParams),
        }
    }
}

/// An error that says what is wrong and what would be right.
pub fn error(kind: Kind, at: &impl Spanned, wrong: &str) -> Error {
    let row = kind.row();
    let mut message = format!(
        "a function that {wrong} is no `{}`, which has the shape {}",
        row.name, row.shapes
    );
    if kind.has_tail() {
        message.push_str("\nafter these it may take `&Context` and `&P`, its parameters");
    }
    if kind.may_refuse() {
        message.push_str("\nit may return a `Result`");
    }
    Error::new(at.span(), message)
}

fn takes(parameters: usize) -> String {
    match parameters {
        0 => "takes nothing".to_owned(),
        1 => "takes one parameter".to_owned(),
        n => format!("takes {n} parameters"),
    }
}

/// How many parameters carry data. Where that varies, the last one that is taken by value is the
/// last of them.
fn data_parameters(kind: Kind, types: &[Type]) -> usize {
    let (fewest, most) = kind.row().parameters;
    if fewest == most {
        return types.len().min(most);
    }
    types
        .iter()
        .rposition(|ty| !is_reference(ty))
        .map_or(0, |last| last + 1)
}

fn check_qualifiers(kind: Kind, function: &ItemFn) -> Result<(), Error> {
    let signature = &function.sig;
    if let Some(token) = &signature.asyncness {
        return Err(error(kind, token, "is async"));
    }
    if let Some(token) = &signature.unsafety {
        return Err(error(kind, token, "is unsafe"));
    }
    if let Some(token) = &signature.variadic {
        return Err(error(kind, token, "takes any number of parameters"));
    }
    for parameter in &signature.generics.params {
        if !matches!(parameter, GenericParam::Lifetime(_)) {
            return Err(error(kind, parameter, "is generic"));
        }
    }
    Ok(())
}

/// The type of a parameter.
fn parameter(kind: Kind, input: &FnArg) -> Result<Type, Error> {
    let typed = match input {
        FnArg::Receiver(receiver) => return Err(error(kind, receiver, "takes `self`")),
        FnArg::Typed(typed) => typed,
    };
    if let Type::ImplTrait(ty) = plain(&typed.ty) {
        return Err(error(kind, ty, "is generic"));
    }
    Ok(Type::clone(&typed.ty))
}

/// Checks what type names tell without knowing more; the rest is left to the compiler, whose
/// messages are longer.
fn check_types(kind: Kind, data: &[Type], output: &Type) -> Result<(), Error> {
    let differs = |a: &Type, b: &Type| match (Plain::of(a), Plain::of(b)) {
        (Some(a), Some(b)) => a != b,
        _ => false,
    };
    match kind {
        Kind::Filter if Plain::of(output).is_some_and(|class| class != Plain::Bool) => {
            Err(error(kind, output, "does not return a `bool`"))
        }
        Kind::FlatMap
        | Kind::FlatMapValues
        | Kind::MapPartitions
        | Kind::Transform
        | Kind::TransformWith
            if Plain::of(output).is_some() =>
        {
            Err(error(kind, output, "returns a single value"))
        }
        Kind::MapPartitions | Kind::Transform | Kind::TransformWith => {
            match data.iter().find(|ty| Plain::of(ty).is_some()) {
                Some(single) => Err(error(kind, single, "takes a single value")),
                None => Ok(()),
            }
        }
        Kind::Reduce | Kind::Inverse if differs(&data[0], &data[1]) => {
            Err(error(kind, &data[1], "takes values of two types"))
        }
        Kind::Reduce | Kind::Inverse if differs(&data[0], output) => {
            Err(error(kind, output, "returns another type than it takes"))
        }
        _ => Ok(()),
    }
}

fn tail(kind: Kind, types: Vec<Type>) -> Result<Vec<Tail>, Error> {
    let (mut context, mut params) = (false, false);
    let mut tail = Vec::with_capacity(types.len());
    for ty in types {
        let reference = match plain(&ty) {
            Type::Reference(reference) if kind.has_tail() => reference,
            _ => return Err(error(kind, &ty, "takes a parameter too many")),
        };
        if reference.mutability.is_some() {
            return Err(error(kind, &ty, "changes what it may only read"));
        }
        let seen = if is_named(&reference.elem, "Context") {
            tail.push(Tail::Context);
            &mut context
        } else {
            tail.push(Tail::Params(reference.elem.clone()));
            &mut params
        };
        if std::mem::replace(seen, true) {
            return Err(error(kind, &ty, "takes a parameter too many"));
        }
    }
    Ok(tail)
}
