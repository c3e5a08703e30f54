//! `update_state`, `map_with_state`, `migrate`.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Error, GenericArgument, PathArguments, Type};

use crate::options::Options;
use crate::parts::{Parameter, Parts, layout, plain_name, value};
use crate::signature::{Signature, error};
use crate::types::plain;

/// Names the type of the state, for migrations.
pub fn stateful(signature: &Signature) -> TokenStream {
    let name = &signature.function.sig.ident;
    let state = state_type(signature);
    quote! {
        impl ::dshost_guest::glue::Stateful for #name {
            type State = <#state as ::dshost_guest::glue::Holds>::State;
        }
    }
}

/// `Option<S>` or `State<S>`: the last data parameter.
fn state_type(signature: &Signature) -> &Type {
    let last = &signature.data[signature.data.len() - 1];
    match plain(last) {
        Type::Reference(reference) => &reference.elem,
        other => other,
    }
}

/// `StateMeta` of a function.
fn state_meta(options: &Options) -> TokenStream {
    let (version, only_changed) = (options.version, options.only_changed);
    quote! {
        ::dshost_guest::glue::StateMeta {
            version: #version,
            only_changed: #only_changed,
        }
    }
}

/// `update_state`.
pub fn update(signature: &Signature, options: &Options) -> TokenStream {
    let Parts {
        name,
        meta,
        returned,
        params,
        tail,
        output,
    } = Parts::of(signature);
    let site = Span::mixed_site();
    let data = &signature.data;
    let (key, data) = match data.as_slice() {
        [key, values, state] => (Some(Parameter::of(key, "key")), [values, state]),
        [.., values, state] => (None, [values, state]),
        _ => return error(signature.kind, &name, "takes one parameter").into_compile_error(),
    };
    let is_slice = matches!(
        plain(data[0]),
        Type::Reference(reference) if matches!(plain(&reference.elem), Type::Slice(_))
    );
    if !is_slice {
        let wrong = "does not take a key's values as `&[V]`";
        return error(signature.kind, data[0], wrong).into_compile_error();
    }
    let values = Parameter::of(data[0], "values");
    let state = Parameter::of(data[1], "state");
    let (values_probe, values_ty) = (&values.probe, &values.ty);
    let (keys, read_key, key_argument) = match &key {
        None => (quote!(::dshost_guest::glue::NoKey), None, None),
        Some(key) => {
            let Parameter {
                probe,
                variable,
                ty,
                argument,
                span,
                ..
            } = key;
            (
                quote_spanned!(*span=> #probe.column()),
                Some(quote_spanned! {*span=>
                    let #variable: #ty = ::dshost_guest::glue::value(keys).read(item)?;
                }),
                Some(quote_spanned!(*span=> #argument,)),
            )
        }
    };
    let take = value(
        values.span,
        &quote_spanned!(values.span=> ::dshost_guest::glue::each(&#values_probe)),
    );
    let state_probe = &state.probe;
    let held = quote_spanned!(state.span=> ::dshost_guest::glue::held(&#state_probe));
    let states = value(state.span, &held);
    let same = quote_spanned! {output=>
        ::dshost_guest::glue::same_state(&#held, &::dshost_guest::glue::held(&given));
    };
    let meta_of_state = state_meta(options);
    quote_spanned! {site=>
        #returned
        #same
        let keys = #keys;
        let take = #take;
        let states = #states;
        ::dshost_guest::glue::Item::Function(::dshost_guest::glue::update_state(
            #meta,
            #meta_of_state,
            (keys, take, states, #params),
            move |updates, _aside| {
                let held: #values_ty = updates.values();
                updates.each(|item, range, state| {
                    let _ = &item;
                    #read_key
                    how.settle(#name(#key_argument &held[range], state #tail))
                });
            },
        ))
    }
}

/// `map_with_state`.
pub fn records(signature: &Signature, options: &Options) -> TokenStream {
    let optional = match generic_argument(signature, &signature.data[1]) {
        Ok(optional) => optional,
        Err(error) => return error.into_compile_error(),
    };
    let Parts {
        name,
        meta,
        returned,
        params,
        tail,
        output,
    } = Parts::of(signature);
    let site = Span::mixed_site();
    let key = Parameter::of(&signature.data[0], "key");
    let val = Parameter::of(optional, "value");
    let state = Parameter::of(&signature.data[2], "state");
    let keys = value(key.span, &key.probe);
    let values = value(val.span, &val.probe);
    let state_probe = &state.probe;
    let held = quote_spanned!(state.span=> let state = ::dshost_guest::glue::held(&#state_probe););
    let states = value(state.span, &quote_spanned!(state.span=> state));
    let give = layout(
        output,
        &quote_spanned!(output=> ::dshost_guest::glue::held(&given)),
    );
    let (key_name, key_ty, key_argument) = (&key.variable, &key.ty, &key.argument);
    let (val_name, val_ty) = (&val.variable, &val.ty);
    let read = quote_spanned! {site=>
        let #key_name: #key_ty = keys.read(key)?;
        let #val_name: ::std::option::Option<#val_ty> = match value {
            ::std::option::Option::Some(value) => ::std::option::Option::Some(values.read(value)?),
            ::std::option::Option::None => ::std::option::Option::None,
        };
    };
    let value_argument = match val.lent {
        true => quote_spanned!(site=> #val_name.as_ref()),
        false => quote_spanned!(site=> #val_name),
    };
    let write = quote_spanned! {output=>
        match how.settle(#name(#key_argument, #value_argument, state #tail))? {
            ::std::option::Option::Some(given) => {
                give.write(builder, given)?;
                ::std::result::Result::Ok(true)
            }
            ::std::option::Option::None => ::std::result::Result::Ok(false),
        }
    };
    let meta_of_state = state_meta(options);
    quote_spanned! {site=>
        #returned
        #held
        let keys = #keys;
        let values = #values;
        let states = #states;
        let give = #give;
        ::dshost_guest::glue::Item::Function(::dshost_guest::glue::map_with_state(
            #meta,
            #meta_of_state,
            (keys, values, states, give, #params),
            state,
            move |(key, value), state, builder, _aside| {
                #read
                #write
            },
        ))
    }
}

/// `V` of `Option<V>`.
fn generic_argument<'t>(signature: &Signature, ty: &'t Type) -> Result<&'t Type, Error> {
    let wrong = || {
        let wrong = "does not take its value as `Option<V>` (none: the state is timing out)";
        error(signature.kind, ty, wrong)
    };
    let Type::Path(path) = plain(ty) else {
        return Err(wrong());
    };
    match path.path.segments.last() {
        Some(segment) if segment.ident == "Option" => match &segment.arguments {
            PathArguments::AngleBracketed(arguments) => match arguments.args.first() {
                Some(GenericArgument::Type(inner)) => Ok(inner),
                _ => Err(wrong()),
            },
            _ => Err(wrong()),
        },
        _ => Err(wrong()),
    }
}

/// `migrate`.
pub fn migrate(signature: &Signature, options: &Options) -> TokenStream {
    let Parts {
        name,
        returned,
        output,
        ..
    } = Parts::of(signature);
    let Some((function, from)) = &options.migrates else {
        return error(signature.kind, &name, "names no function").into_compile_error();
    };
    let target = function
        .segments
        .last()
        .map(|segment| plain_name(&segment.ident));
    let Parameter {
        probe,
        variable,
        ty,
        argument,
        span,
        ..
    } = Parameter::of(&signature.data[0], "held");
    let old = value(span, &probe);
    let new = quote_spanned!(output=> ::dshost_guest::glue::held(&given));
    let same = quote_spanned! {output=>
        ::dshost_guest::glue::same_state(
            &::dshost_guest::glue::Probe::<
                <#function as ::dshost_guest::glue::Stateful>::State
            >::of(),
            &new,
        );
    };
    let read = quote_spanned!(span=> let #variable: #ty = old.read(item)?;);
    quote_spanned! {Span::mixed_site()=>
        #returned
        let new = #new;
        #same
        let old = #old;
        let new = ::dshost_guest::glue::value(new.column());
        ::dshost_guest::glue::Item::Migration(::dshost_guest::glue::migrate(
            ::dshost_guest::glue::MigrationMeta { function: #target, from: #from },
            (old, new),
            move |item, builder| {
                #read
                match how.settle(#name(#argument))? {
                    ::std::option::Option::Some(state) => {
                        new.write(builder, state)?;
                        ::std::result::Result::Ok(true)
                    }
                    ::std::option::Option::None => ::std::result::Result::Ok(false),
                }
            },
        ))
    }
}
