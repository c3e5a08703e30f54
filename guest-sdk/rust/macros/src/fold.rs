//! `reduce`, `inverse`.

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;

use crate::parts::{Parameter, Parts, layout};
use crate::signature::Signature;
use crate::types::is_reference;

/// `reduce`, `inverse`.
pub fn fold(signature: &Signature) -> TokenStream {
    let Parts {
        name,
        meta,
        returned,
        params,
        tail,
        output,
    } = Parts::of(signature);
    let site = Span::mixed_site();
    let left = Parameter::of(&signature.data[0], "left");
    let right = Parameter::of(&signature.data[1], "right");
    let same = [&left, &right].map(|Parameter { probe, span, .. }| {
        quote_spanned! {*span=> {
            let parts = #probe.parts();
            ::dshost_guest::glue::same(&(parts.0.owned(), parts.1.owned()), &result);
        }}
    });
    let Parameter {
        variable,
        ty,
        argument,
        span,
        ..
    } = right;
    let read = quote_spanned! {span=>
        let #variable: #ty = match take.read(item) {
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
        let totals = (
            (parts.0.total(), parts.0.column()),
            (parts.1.total(), parts.1.column()),
        );
        let take = #take;
        ::dshost_guest::glue::Item::Function(::dshost_guest::glue::fold(
            #meta,
            (totals, #params),
            move |total, item, _aside| {
                #read
                #step
            },
        ))
    }
}
