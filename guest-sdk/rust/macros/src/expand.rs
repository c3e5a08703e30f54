//! What an attribute adds beside its function.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};
use syn::{Error, ItemFn, Visibility};

use crate::kind::Kind;
use crate::options::Options;
use crate::parts::plain_name;
use crate::signature::Signature;
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
            (state::records(signature, options), Some(stateful))
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
