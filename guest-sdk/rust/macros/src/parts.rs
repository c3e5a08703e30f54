//! What the definitions of functions are put together from.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::Type;
use syn::spanned::Spanned;

use crate::signature::{Signature, Tail};
use crate::types::Held;

/// What the definitions of all kinds have in common.
pub struct Parts {
    /// The function's name.
    pub name: Ident,
    /// Its `Meta`.
    pub meta: TokenStream,
    /// Binds `how` and `given`: how the function returns, and the probe of what it returns.
    pub returned: TokenStream,
    /// The marker of its parameters.
    pub params: TokenStream,
    /// `&Context` and `&P`, as they are handed over.
    pub tail: TokenStream,
    /// Where the returned type stands; what is generated there sees its own variables only.
    pub output: Span,
}

impl Parts {
    /// The parts of a function's definition.
    pub fn of(signature: &Signature) -> Self {
        let name = &signature.function.sig.ident;
        let (text, doc) = (plain_name(name), signature.doc());
        let case = match signature.kind.row().case {
            "" => None,
            case => Some(Ident::new(case, Span::call_site())),
        };
        let anything = signature.function.sig.inputs.iter();
        let anything = anything.map(|_| quote!(::dshost_guest::glue::any()));
        let tail = signature.tail.iter().map(|tail| match tail {
            Tail::Context => quote_spanned!(Span::mixed_site()=> , _aside.context),
            Tail::Params(_) => quote_spanned!(Span::mixed_site()=> , _aside.params),
        });
        let output = signature.output.span().resolved_at(Span::mixed_site());
        Self {
            name: name.clone(),
            meta: quote! {
                ::dshost_guest::glue::Meta {
                    name: #text,
                    kind: ::dshost_guest::glue::Kind::#case,
                    doc: #doc,
                }
            },
            returned: quote_spanned! {output=>
                let (how, given) =
                    ::dshost_guest::glue::Probe::returned(|| #name(#(#anything),*)).settled();
            },
            params: signature.params(),
            tail: tail.collect(),
            output,
        }
    }
}

/// The layout of whole records in the columns of the probe `probe`.
pub fn layout(span: Span, probe: &TokenStream) -> TokenStream {
    quote_spanned! {span=> {
        let parts = #probe.parts();
        ::dshost_guest::glue::layout(parts.0.column(), parts.1.column())
    }}
}

/// The layout of values in the column of the probe `probe`.
pub fn value(span: Span, probe: &TokenStream) -> TokenStream {
    quote_spanned!(span=> ::dshost_guest::glue::value(#probe.column()))
}

/// A data parameter: how it is looked up, read, and handed over.
pub struct Parameter {
    /// The probe of its type.
    pub probe: TokenStream,
    /// The variable that holds it.
    pub variable: Ident,
    /// The variable's type.
    pub ty: TokenStream,
    /// What the function is given.
    pub argument: TokenStream,
    /// Whether that is a reference to the variable.
    pub lent: bool,
    /// Where its type stands, with variables of its own.
    pub span: Span,
}

impl Parameter {
    /// The parameter of type `written`.
    pub fn of(written: &Type, variable: &str) -> Self {
        let held = Held::of(written);
        let span = held.span();
        let variable = Ident::new(variable, span);
        let probe = &held.probe;
        Self {
            probe: quote_spanned!(span=> ::dshost_guest::glue::Probe::<#probe>::of()),
            argument: held.argument(&variable),
            lent: held.is_lent(),
            ty: held.variable,
            variable,
            span,
        }
    }
}

/// A name without `r#`.
pub fn plain_name(name: &Ident) -> String {
    let name = name.to_string();
    match name.strip_prefix("r#") {
        Some(plain) => plain.to_owned(),
        None => name,
    }
}
