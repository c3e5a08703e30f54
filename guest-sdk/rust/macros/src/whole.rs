//! `map_partitions`, `transform`, `transform_with`.

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;

use crate::parts::{Parameter, Parts, layout};
use crate::signature::Signature;

/// How a function is given its whole batches.
struct WholeCall {
    /// What makes the definition.
    constructor: TokenStream,
    /// The layouts that the function takes.
    take: TokenStream,
    /// The batches, as parameters of a closure.
    batches: TokenStream,
    /// Reads them.
    read: TokenStream,
    /// What the function is given of them.
    arguments: TokenStream,
}

/// `map_partitions`, `transform`.
pub fn one(signature: &Signature) -> TokenStream {
    let records = Parameter::of(&signature.data[0], "held");
    let site = Span::mixed_site();
    let call = WholeCall {
        constructor: quote_spanned!(site=> whole),
        take: records_layout(&records),
        batches: quote_spanned!(site=> records),
        read: read(&records, "records"),
        arguments: records.argument,
    };
    definition(signature, &call)
}

/// `transform_with`.
pub fn two(signature: &Signature) -> TokenStream {
    let left = Parameter::of(&signature.data[0], "left");
    let right = Parameter::of(&signature.data[1], "right");
    let takes = [&left, &right].map(records_layout);
    let [take_left, take_right] = &takes;
    let reads = [read(&left, "lefts"), read(&right, "rights")];
    let [read_left, read_right] = &reads;
    let (first, second) = (&left.argument, &right.argument);
    let site = Span::mixed_site();
    let call = WholeCall {
        constructor: quote_spanned!(site=> two),
        take: quote_spanned!(site=> (#take_left, #take_right)),
        batches: quote_spanned!(site=> (lefts, rights)),
        read: quote_spanned!(site=> #read_left #read_right),
        arguments: quote_spanned!(site=> #first, #second),
    };
    definition(signature, &call)
}

fn records_layout(records: &Parameter) -> TokenStream {
    let (span, probe) = (records.span, &records.probe);
    layout(
        span,
        &quote_spanned!(span=> ::dshost_guest::glue::each(&#probe)),
    )
}

fn read(records: &Parameter, batch: &str) -> TokenStream {
    let (variable, ty) = (&records.variable, &records.ty);
    let batch = syn::Ident::new(batch, records.span);
    quote_spanned!(records.span=> let #variable: #ty = #batch.read();)
}

/// The call of the constructor with the layouts and a closure of the batches, which it reads and
/// hands over.
fn definition(signature: &Signature, call: &WholeCall) -> TokenStream {
    let WholeCall {
        constructor,
        take,
        batches,
        read,
        arguments,
    } = call;
    let Parts {
        name,
        meta,
        returned,
        params,
        tail,
        output,
    } = Parts::of(signature);
    let give = layout(
        output,
        &quote_spanned!(output=> ::dshost_guest::glue::items(&given)),
    );
    let write = quote_spanned! {output=>
        for value in ::std::iter::IntoIterator::into_iter(how.settle(#name(#arguments #tail))?) {
            give.write(builder, value)?;
        }
        ::std::result::Result::Ok(())
    };
    quote_spanned! {Span::mixed_site()=>
        #returned
        let take = #take;
        let give = #give;
        ::dshost_guest::glue::Item::Function(::dshost_guest::glue::#constructor(
            #meta,
            (take, give, #params),
            move |#batches, builder, _aside| {
                #read
                #write
            },
        ))
    }
}
