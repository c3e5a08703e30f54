//! What an attribute adds beside its function.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, ItemFn};

use crate::kind::Kind;
use crate::signature::{Signature, Tail};
use crate::types::{Held, is_reference};

/// The function as it was, and what `plugin!` needs of it.
pub fn attribute(kind: Kind, options: TokenStream, function: TokenStream) -> TokenStream {
    let parsed: ItemFn = match syn::parse2(function.clone()) {
        Ok(parsed) => parsed,
        Err(_) => {
            let message = format!("`#[{}]` belongs on a function", kind.name());
            let error = Error::new(Span::call_site(), message).into_compile_error();
            return quote!(#error #function);
        }
    };
    let signature =
        check_options(kind, &options).and_then(|()| Signature::new(kind, parsed.clone()));
    let (item, error) = match signature {
        Ok(signature) => (item(&signature), None),
        // `plugin!` still finds the function, so that this error is the only one.
        Err(error) => (
            quote!(::std::unreachable!()),
            Some(error.into_compile_error()),
        ),
    };
    let beside = beside(&parsed, kind, &item);
    quote!(#error #function #beside)
}

fn check_options(kind: Kind, options: &TokenStream) -> Result<(), Error> {
    if options.is_empty() {
        return Ok(());
    }
    let message = format!("`#[{}]` has no options", kind.name());
    Err(Error::new_spanned(options, message))
}

/// The name of the macro that tells a function's shape.
pub fn shape_macro(function: &Ident) -> Ident {
    format_ident!("__dshost_kind_of_{function}", span = function.span())
}

fn beside(function: &ItemFn, kind: Kind, item: &TokenStream) -> TokenStream {
    let (name, vis) = (&function.sig.ident, &function.vis);
    let shape = shape_macro(name);
    let interface = kind.interface();
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

/// The body of `Plugged::item`.
fn item(signature: &Signature) -> TokenStream {
    let definition = match signature.kind {
        Kind::Map | Kind::FlatMap => records(signature),
        Kind::Filter => filter(signature),
        Kind::MapValues | Kind::FlatMapValues => values(signature),
        Kind::Reduce | Kind::Inverse => fold(signature),
    };
    quote! {
        #[allow(unused_imports, reason = "which of them is needed depends on the types")]
        use ::dshost_guest::glue::{
            OtherColumn as _, OtherParts as _, OtherSettled as _, OtherTotal as _, Reads as _,
            Settles as _, Steps as _, Writes as _,
        };
        #definition
    }
}

/// What the parts of a definition have in common.
struct Parts {
    /// `Meta` of the function.
    meta: TokenStream,
    /// Binds `how` and `given`, the probe of what the function returns.
    returned: TokenStream,
    /// The marker of its parameters.
    params: TokenStream,
    /// `&Context` and `&P`, as they are handed over.
    tail: TokenStream,
}

impl Parts {
    fn of(signature: &Signature) -> Self {
        let name = &signature.function.sig.ident;
        let text = name.to_string();
        let text = text.trim_start_matches("r#");
        let (doc, case) = (signature.doc(), signature.kind.case());
        let anything = signature
            .function
            .sig
            .inputs
            .iter()
            .map(|_| quote!(::dshost_guest::glue::any()));
        let tail = signature.tail.iter().map(|tail| match tail {
            Tail::Context => quote_spanned!(Span::mixed_site()=> , _aside.context),
            Tail::Params(_) => quote_spanned!(Span::mixed_site()=> , _aside.params),
        });
        let output = signature.output.span().resolved_at(Span::mixed_site());
        Self {
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
        }
    }
}

/// The layout of whole records in the columns of the probe `probe`.
fn layout(span: Span, probe: &TokenStream) -> TokenStream {
    quote_spanned! {span=> {
        let parts = #probe.parts();
        ::dshost_guest::glue::layout(parts.0.column(), parts.1.column())
    }}
}

/// `map`, `flat_map`.
fn records(signature: &Signature) -> TokenStream {
    let Parts {
        meta,
        returned,
        params,
        tail,
    } = Parts::of(signature);
    let name = &signature.function.sig.ident;
    let held = Held::of(&signature.data[0]);
    let (probe, variable) = (&held.probe, &held.variable);
    let site = Span::mixed_site();
    let take = layout(
        held.span(),
        &quote!(::dshost_guest::glue::Probe::<#probe>::new()),
    );
    let output = signature.output.span().resolved_at(site);
    let local = Ident::new("held", held.span());
    let argument = held.argument(&local);
    let read = quote_spanned!(held.span()=> let #local: #variable = take.read(item)?;);
    let (given, write) = if signature.kind == Kind::Map {
        let write = quote_spanned! {output=>
            give.write(builder, how.settle(#name(#argument #tail))?)
        };
        (quote_spanned!(output=> given), write)
    } else {
        let write = quote_spanned! {output=>
            for value in how.settle(#name(#argument #tail))? {
                give.write(builder, value)?;
            }
            ::std::result::Result::Ok(())
        };
        (
            quote_spanned!(output=> ::dshost_guest::glue::items(&given)),
            write,
        )
    };
    let give = layout(output, &given);
    quote_spanned! {site=>
        #returned
        let take = #take;
        let give = #give;
        ::dshost_guest::glue::Item::Function(::dshost_guest::glue::records(
            #meta,
            (take, give, #params),
            move |item, builder, _aside| {
                #read
                #write
            },
        ))
    }
}

/// `filter`.
fn filter(signature: &Signature) -> TokenStream {
    let Parts {
        meta,
        returned,
        params,
        tail,
    } = Parts::of(signature);
    let name = &signature.function.sig.ident;
    let held = Held::of(&signature.data[0]);
    let (probe, variable) = (&held.probe, &held.variable);
    let site = Span::mixed_site();
    let take = layout(
        held.span(),
        &quote!(::dshost_guest::glue::Probe::<#probe>::new()),
    );
    let output = signature.output.span().resolved_at(site);
    let local = Ident::new("held", held.span());
    let argument = held.argument(&local);
    let read = quote_spanned!(held.span()=> let #local: #variable = take.read(item)?;);
    let check = quote_spanned!(output=> ::dshost_guest::glue::answers_bool(&given););
    quote_spanned! {site=>
        #returned
        #check
        let take = #take;
        ::dshost_guest::glue::Item::Function(::dshost_guest::glue::filter(
            #meta,
            (take, #params),
            move |item, _aside| {
                #read
                how.settle(#name(#argument #tail))
            },
        ))
    }
}

/// `map_values`, `flat_map_values`.
fn values(signature: &Signature) -> TokenStream {
    let Parts {
        meta,
        returned,
        params,
        tail,
    } = Parts::of(signature);
    let name = &signature.function.sig.ident;
    let held = Held::of(&signature.data[0]);
    let (probe, variable) = (&held.probe, &held.variable);
    let site = Span::mixed_site();
    let output = signature.output.span().resolved_at(site);
    let local = Ident::new("held", held.span());
    let argument = held.argument(&local);
    let take = quote_spanned! {held.span()=>
        ::dshost_guest::glue::value(::dshost_guest::glue::Probe::<#probe>::new().column())
    };
    let read = quote_spanned!(held.span()=> let #local: #variable = take.read(item)?;);
    let (constructor, give, write) = if signature.kind == Kind::MapValues {
        (
            quote!(map_values),
            quote_spanned!(output=> given.column()),
            quote_spanned! {output=> give.write(builder, how.settle(#name(#argument #tail))?) },
        )
    } else {
        (
            quote!(flat_map_values),
            quote_spanned!(output=> ::dshost_guest::glue::items(&given).column()),
            quote_spanned! {output=>
                for value in how.settle(#name(#argument #tail))? {
                    give.write(builder, value)?;
                }
                ::std::result::Result::Ok(())
            },
        )
    };
    quote_spanned! {site=>
        #returned
        let take = #take;
        let give = ::dshost_guest::glue::value(#give);
        ::dshost_guest::glue::Item::Function(::dshost_guest::glue::#constructor(
            #meta,
            (take, give, #params),
            move |item, builder, _aside| {
                #read
                #write
            },
        ))
    }
}

/// `reduce`, `inverse`.
fn fold(signature: &Signature) -> TokenStream {
    let Parts {
        meta,
        returned,
        params,
        tail,
    } = Parts::of(signature);
    let name = &signature.function.sig.ident;
    let (left, right) = (Held::of(&signature.data[0]), Held::of(&signature.data[1]));
    let site = Span::mixed_site();
    let output = signature.output.span().resolved_at(site);
    let same = [&left, &right].map(|held| {
        let probe = &held.probe;
        quote_spanned! {held.span()=>
            let parts = ::dshost_guest::glue::Probe::<#probe>::new().parts();
            ::dshost_guest::glue::same(&(parts.0.owned(), parts.1.owned()), &result);
        }
    });
    let local = Ident::new("held", right.span());
    let (variable, argument) = (&right.variable, right.argument(&local));
    let read = quote_spanned! {right.span()=>
        let #local: #variable = match take.read(item) {
            ::std::result::Result::Ok(held) => held,
            ::std::result::Result::Err(refusal) => {
                return ::std::result::Result::Err((total, refusal));
            }
        };
    };
    let step = if is_reference(&signature.data[0]) {
        quote_spanned! {output=>
            match how.settle(#name(&total, #argument #tail)) {
                ::std::result::Result::Ok(total) => ::std::result::Result::Ok(total),
                ::std::result::Result::Err(refusal) => {
                    ::std::result::Result::Err((total, refusal))
                }
            }
        }
    } else {
        quote_spanned!(output=> how.step(total, |total| #name(total, #argument #tail)))
    };
    let sure = (!signature.kind.may_refuse())
        .then(|| quote_spanned!(output=> ::dshost_guest::glue::never_refuses(how);));
    let take = layout(output, &quote_spanned!(site=> given));
    quote_spanned! {site=>
        #returned
        #sure
        let parts = given.parts();
        let result = (parts.0.owned(), parts.1.owned());
        #(#same)*
        let take = #take;
        let parts = given.parts();
        let total = ::dshost_guest::glue::total_of(parts.0.total(), parts.1.total());
        ::dshost_guest::glue::Item::Function(::dshost_guest::glue::fold(
            #meta,
            (take, total, #params),
            move |total, item, _aside| {
                #read
                #step
            },
        ))
    }
}
