//! `map_partitions`, `transform`, `transform_with`.

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;

use crate::parts::{Parameter, Parts, layout};
use crate::signature::Signature;

/// `map_partitions`, `transform`.
pub fn one(signature: &Signature) -> TokenStream {
    let records = Parameter::of(&signature.data[0], "held");
    let take = records_layout(&records);
    let read = read(&records, "records");
    let argument = &records.argument;
    let site = Span::mixed_site();
    definition(
        signature,
        &quote_spanned!(site=> whole),
        &take,
        &quote_spanned!(site=> records),
        (&read, argument),
    )
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
    definition(
        signature,
        &quote_spanned!(site=> two),
        &quote_spanned!(site=> (#take_left, #take_right)),
        &quote_spanned!(site=> (lefts, rights)),
        (
            &quote_spanned!(site=> #read_left #read_right),
            &quote_spanned!(site=> #first, #second),
        ),
    )
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

/// The call of `constructor` with the layouts `take` and a closure of the `batches`, which it reads
/// and hands over.
fn definition(
    signature: &Signature,
    constructor: &TokenStream,
    take: &TokenStream,
    batches: &TokenStream,
    (read, arguments): (&TokenStream, &TokenStream),
) -> TokenStream {
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
