//! What an attribute adds beside its function.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, ItemFn, Type, Visibility};

use crate::kind::Kind;
use crate::options::Options;
use crate::signature::{Signature, Tail};
use crate::types::Held;
use crate::{fold, narrow, state, whole};

/// The function as it was, and what `plugin!` needs of it.
pub fn attribute(kind: Kind, options: TokenStream, function: &TokenStream) -> TokenStream {
    let parsed: ItemFn = match syn::parse2(function.clone()) {
        Ok(parsed) => parsed,
        Err(_) => {
            let message = format!("`#[{}]` belongs on a function", kind.row().name);
            let error = Error::new(Span::call_site(), message).into_compile_error();
            return quote!(#error #function);
        }
    };
    let checked = Options::parse(kind, options)
        .and_then(|options| Ok((Signature::new(kind, parsed.clone())?, options)));
    let (beside, error) = match checked {
        Ok((signature, options)) => (beside(&signature, &options), None),
        // In an `impl` there is no place for more items.
        Err(error) if parsed.sig.receiver().is_some() => {
            (TokenStream::new(), Some(error.into_compile_error()))
        }
        // `plugin!` still finds the function, so that this error is the only one.
        Err(error) => {
            let item = quote!(::std::unreachable!());
            let plugged = plugged(&parsed.sig.ident, &parsed.vis, kind, &item);
            (plugged, Some(error.into_compile_error()))
        }
    };
    quote!(#error #function #beside)
}

/// A name without `r#`.
pub fn plain_name(name: &Ident) -> String {
    let name = name.to_string();
    match name.strip_prefix("r#") {
        Some(plain) => plain.to_owned(),
        None => name,
    }
}

/// The name of the macro that tells a function's shape. Who lists a function without attribute is
/// told that there is none of this name.
pub fn shape_macro(function: &Ident) -> Ident {
    let name = plain_name(function);
    format_ident!("__dshost_attribute_of_{name}", span = function.span())
}

/// The items beside a function that is as it should be.
fn beside(signature: &Signature, options: &Options) -> TokenStream {
    let (definition, stateful) = match signature.kind {
        Kind::Map | Kind::FlatMap => (narrow::records(signature), None),
        Kind::Filter => (narrow::filter(signature), None),
        Kind::MapValues | Kind::FlatMapValues => (narrow::values(signature), None),
        Kind::MapPartitions | Kind::Transform => (whole::one(signature), None),
        Kind::TransformWith => (whole::two(signature), None),
        Kind::Reduce | Kind::Inverse => (fold::fold(signature), None),
        Kind::UpdateState => {
            let stateful = state::stateful(signature);
            (state::update(signature, options), Some(stateful))
        }
        Kind::MapWithState => {
            let stateful = state::stateful(signature);
            (state::keyed(signature, options), Some(stateful))
        }
        Kind::Migrate => (state::migrate(signature, options), None),
    };
    let item = quote! {
        #[allow(unused_imports, reason = "which of them is needed depends on the types")]
        use ::dshost_guest::glue::{
            OtherColumn as _, OtherParts as _, OtherSettled as _, OtherTotal as _, Reads as _,
            Settles as _, Steps as _, Writes as _,
        };
        #definition
    };
    let function = &signature.function;
    let plugged = plugged(&function.sig.ident, &function.vis, signature.kind, &item);
    quote!(#plugged #stateful)
}

/// The enum of the function's name with `item` as what it is, and the macro that tells its shape.
fn plugged(name: &Ident, vis: &Visibility, kind: Kind, item: &TokenStream) -> TokenStream {
    let shape = shape_macro(name);
    let interface = kind.row().interface;
    let interface = (!interface.is_empty()).then(|| Ident::new(interface, Span::call_site()));
    quote! {
        #[doc(hidden)]
        #[expect(non_camel_case_types, reason = "named like the function")]
        #vis enum #name {}

        impl ::dshost_guest::glue::Plugged for #name {
            fn item() -> ::dshost_guest::glue::Item {
                #item
            }
        }

        #[doc(hidden)]
        macro_rules! #shape {
            ([($($next:tt)*) $($more:tt)*] { $($shapes:tt)* }) => {
                $($next)*! { [$($more)*] { $($shapes)* #interface } }
            };
        }
        #[doc(hidden)]
        #[allow(unused_imports, reason = "used where `plugin!` names the function")]
        pub(crate) use #shape;
    }
}

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
