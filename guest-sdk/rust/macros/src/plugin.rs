//! `plugin!`: the list of functions, and the exports that they need.
//!
//! Which interfaces a component must export depends on the kinds of its functions, which `plugin!`
//! cannot see. So it calls the shape macro of the first function, which adds its interface and
//! calls that of the next, and so on; the last one calls [`export`] with all of them.

use std::collections::BTreeSet;

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::quote;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Error, Path, Token};

use crate::expand::shape_macro;
use crate::parts::plain_name;

/// `plugin!(split, words::pair);`
pub fn plugin(functions: TokenStream) -> TokenStream {
    expand(functions).unwrap_or_else(Error::into_compile_error)
}

fn expand(functions: TokenStream) -> Result<TokenStream, Error> {
    let paths = Punctuated::<Path, Token![,]>::parse_terminated.parse2(functions)?;
    if paths.is_empty() {
        let message = "a plugin has at least one function: `plugin!(split, pair)`";
        return Err(Error::new(proc_macro2::Span::call_site(), message));
    }
    let mut names = BTreeSet::new();
    let (mut shapes, mut texts) = (Vec::new(), Vec::new());
    for path in &paths {
        let name = last(path)?;
        let text = plain_name(name);
        if !names.insert(text.clone()) {
            let message = format!("`{name}` is listed twice; names are unique within a plugin");
            return Err(Error::new_spanned(path, message));
        }
        texts.push(text);
        let mut shape = path.clone();
        if let Some(segment) = shape.segments.last_mut() {
            segment.ident = shape_macro(name);
        }
        shapes.push(shape);
    }
    let first = &shapes[0];
    let rest = &shapes[1..];
    let paths = paths.iter();
    Ok(quote! {
        #[doc(hidden)]
        pub struct __DshostPlugin;

        impl ::dshost_guest::glue::Plugin for __DshostPlugin {
            const NAME: &'static str = ::std::env!("CARGO_PKG_NAME");
            const VERSION: &'static str = ::std::env!("CARGO_PKG_VERSION");

            const NAMES: &'static [&'static str] = &[#(#texts),*];

            fn item(
                name: &str,
            ) -> ::std::option::Option<::dshost_guest::glue::Item> {
                match name {
                    #(#texts => ::std::option::Option::Some(
                        <#paths as ::dshost_guest::glue::Plugged>::item(),
                    ),)*
                    _ => ::std::option::Option::None,
                }
            }
        }

        #first! { [#((#rest))* (::dshost_guest::glue::export)] {} }
    })
}

fn last(path: &Path) -> Result<&Ident, Error> {
    match path.segments.last() {
        Some(segment) if segment.arguments.is_none() => Ok(&segment.ident),
        _ => Err(Error::new_spanned(
            path,
            "the path of a function is expected",
        )),
    }
}

/// `export! { [] { chunks chunks folds } }`
pub fn export(shapes: TokenStream) -> TokenStream {
    let interfaces: BTreeSet<String> = shapes
        .into_iter()
        .filter_map(|token| match token {
            TokenTree::Group(group) => Some(group.stream()),
            _ => None,
        })
        .flatten()
        .map(|name| name.to_string())
        .collect();
    let exports = interfaces.iter().map(|interface| {
        let module = Ident::new(interface, proc_macro2::Span::call_site());
        let export = quote::format_ident!("export_{interface}");
        quote! {
            ::dshost_guest::wit::worlds::#module::#export!(
                __DshostPlugin with_types_in ::dshost_guest::wit::worlds::#module
            );
        }
    });
    quote! {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            ::dshost_guest::wit::base::export_plugin!(
                __DshostPlugin with_types_in ::dshost_guest::wit::base
            );
            #(#exports)*
        };
    }
}
