//! `map`, `flat_map`, `filter`, `map_values`, `flat_map_values`.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};

use crate::kind::Kind;
use crate::parts::{Parameter, Parts, layout, value};
use crate::signature::Signature;

/// `map`, `flat_map`.
pub fn records(signature: &Signature) -> TokenStream {
    each(
        signature,
        signature.kind == Kind::FlatMap,
        layout,
        &quote!(map_records),
    )
}

/// `map_values`, `flat_map_values`.
pub fn values(signature: &Signature) -> TokenStream {
    if signature.kind == Kind::FlatMapValues {
        each(signature, true, value, &quote!(flat_map_values))
    } else {
        each(signature, false, value, &quote!(map_values))
    }
}

/// A function of one record that gives one, or many of them.
fn each(
    signature: &Signature,
    many: bool,
    columns: fn(Span, &TokenStream) -> TokenStream,
    constructor: &TokenStream,
) -> TokenStream {
    let parts = Parts::of(signature);
    let Parts {
        name, output, tail, ..
    } = &parts;
    let Parameter {
        probe,
        variable,
        ty,
        argument,
        span,
        ..
    } = Parameter::of(&signature.data[0], "held");
    let read = quote_spanned!(span=> let #variable: #ty = take.read(item)?;);
    let (given, write) = if many {
        let write = quote_spanned! {*output=>
            for value in ::std::iter::IntoIterator::into_iter(how.settle(#name(#argument #tail))?) {
                give.write(builder, value)?;
            }
            ::std::result::Result::Ok(())
        };
        (
            quote_spanned!(*output=> ::dshost_guest::glue::items(&given)),
            write,
        )
    } else {
        let write = quote_spanned! {*output=>
            give.write(builder, how.settle(#name(#argument #tail))?)
        };
        (quote_spanned!(*output=> given), write)
    };
    let (take, give) = (columns(span, &probe), columns(*output, &given));
    let Parts {
        meta,
        returned,
        params,
        ..
    } = &parts;
    quote_spanned! {Span::mixed_site()=>
        #returned
        let take = #take;
        let give = #give;
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

/// `filter`.
pub fn filter(signature: &Signature) -> TokenStream {
    let Parts {
        name,
        meta,
        returned,
        params,
        tail,
        output,
    } = Parts::of(signature);
    let Parameter {
        probe,
        variable,
        ty,
        argument,
        span,
        ..
    } = Parameter::of(&signature.data[0], "held");
    let take = layout(span, &probe);
    let read = quote_spanned!(span=> let #variable: #ty = take.read(item)?;);
    let check = quote_spanned!(output=> ::dshost_guest::glue::answers_bool(&given););
    quote_spanned! {Span::mixed_site()=>
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
