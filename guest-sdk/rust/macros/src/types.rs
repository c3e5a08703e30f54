//! Parameter types: in which form a value is held, and how it is handed to the function.

use proc_macro2::{Group, Ident, Punct, Spacing, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::Type;
use syn::spanned::Spanned;

/// The form in which a parameter's value is held before the function is called.
pub struct Held {
    /// The type to look up columns for: every lifetime is `'static`.
    pub probe: TokenStream,
    /// The type of the variable that holds the value: every lifetime is inferred.
    pub variable: TokenStream,
    /// The type as it is written in the function.
    written: Type,
}

impl Held {
    /// The form for a parameter of type `written`.
    pub fn of(written: &Type) -> Self {
        let held = held_type(written);
        Self {
            probe: with_lifetimes(held.clone(), Lifetimes::Static),
            variable: with_lifetimes(held, Lifetimes::Inferred),
            written: written.clone(),
        }
    }

    /// The argument made of the variable `name`.
    pub fn argument(&self, name: &Ident) -> TokenStream {
        argument(&self.written, quote!(#name))
    }

    /// Whether a reference to what is held is handed over.
    pub fn is_lent(&self) -> bool {
        is_lent(&self.written)
    }

    /// Where the type stands; what is generated there sees its own variables only.
    pub fn span(&self) -> Span {
        self.written.span().resolved_at(Span::mixed_site())
    }
}

/// A type that tokens are enough to tell: one with a column of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    Text,
    Bytes,
    Int64,
    Float64,
    Bool,
}

impl Plain {
    /// What `ty` is, borrowed or not, if its name says so.
    pub fn of(ty: &Type) -> Option<Self> {
        match plain(ty) {
            Type::Reference(reference) => Self::of(&reference.elem),
            Type::Slice(slice) => is_named(&slice.elem, "u8").then_some(Self::Bytes),
            ty => [
                ("str", Self::Text),
                ("String", Self::Text),
                ("i64", Self::Int64),
                ("f64", Self::Float64),
                ("bool", Self::Bool),
            ]
            .into_iter()
            .find_map(|(name, class)| is_named(ty, name).then_some(class)),
        }
    }
}

/// Whether a parameter is taken by reference.
pub fn is_reference(ty: &Type) -> bool {
    matches!(plain(ty), Type::Reference(_))
}

/// A type without parentheses and invisible groups around it.
pub fn plain(ty: &Type) -> &Type {
    match ty {
        Type::Paren(inner) => plain(&inner.elem),
        Type::Group(inner) => plain(&inner.elem),
        _ => ty,
    }
}

/// Whether a type is written as `name`, maybe with a path before it and parameters behind.
pub fn is_named(ty: &Type, name: &str) -> bool {
    match plain(ty) {
        Type::Path(path) => path
            .path
            .segments
            .last()
            .is_some_and(|segment| segment.ident == name),
        _ => false,
    }
}

/// `&str` and `&[u8]` are held as they are, other references by what they refer to.
fn held_type(ty: &Type) -> TokenStream {
    match plain(ty) {
        Type::Reference(reference) => match plain(&reference.elem) {
            elem if is_named(elem, "str") => quote!(&#elem),
            Type::Slice(slice) if is_named(&slice.elem, "u8") => quote!(&#slice),
            Type::Slice(slice) => {
                let elem = &slice.elem;
                quote!(::std::vec::Vec<#elem>)
            }
            elem => elem.to_token_stream(),
        },
        Type::Tuple(tuple) if tuple.elems.len() == 2 => {
            let (key, value) = (held_type(&tuple.elems[0]), held_type(&tuple.elems[1]));
            quote!((#key, #value))
        }
        other => other.to_token_stream(),
    }
}

/// What is handed over for a value that is held as `place`.
fn argument(ty: &Type, place: TokenStream) -> TokenStream {
    match plain(ty) {
        lent if is_lent(lent) => quote!(&#place),
        Type::Tuple(tuple) if tuple.elems.len() == 2 => {
            let key = argument(&tuple.elems[0], quote!(#place.0));
            let value = argument(&tuple.elems[1], quote!(#place.1));
            quote!((#key, #value))
        }
        _ => place,
    }
}

/// Whether a type is a reference to something that is held itself.
fn is_lent(ty: &Type) -> bool {
    let Type::Reference(reference) = plain(ty) else {
        return false;
    };
    let elem = plain(&reference.elem);
    let bytes = matches!(elem, Type::Slice(slice) if is_named(&slice.elem, "u8"));
    !is_named(elem, "str") && !bytes
}

/// What every lifetime of a type becomes.
#[derive(Clone, Copy, PartialEq)]
enum Lifetimes {
    Static,
    Inferred,
}

/// Rewrites the tokens of a type; an elided lifetime of a reference is written out if it must be
/// `'static`.
fn with_lifetimes(ty: TokenStream, lifetimes: Lifetimes) -> TokenStream {
    let mut output = TokenStream::new();
    let mut tokens = ty.into_iter().peekable();
    let lifetime = |span: Span| match lifetimes {
        Lifetimes::Static => quote_spanned!(span=> 'static),
        Lifetimes::Inferred => quote_spanned!(span=> '_),
    };
    let is_quote =
        |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == '\'');
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '\'' => {
                tokens.next();
                output.extend(lifetime(punct.span()));
            }
            TokenTree::Punct(punct) if punct.as_char() == '&' => {
                let span = punct.span();
                let mut and = Punct::new('&', Spacing::Alone);
                and.set_span(span);
                output.extend([TokenTree::Punct(and)]);
                if lifetimes == Lifetimes::Static && !tokens.peek().is_some_and(is_quote) {
                    output.extend(lifetime(span));
                }
            }
            TokenTree::Group(group) => {
                let mut inner =
                    Group::new(group.delimiter(), with_lifetimes(group.stream(), lifetimes));
                inner.set_span(group.span());
                output.extend([TokenTree::Group(inner)]);
            }
            other => output.extend([other]),
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ty: &str, probe: &str, variable: &str, argument: &str) {
        // Without spaces, which tokens have or have not by how they were made.
        let text = |tokens: &TokenStream| tokens.to_string().replace(' ', "");
        let held = Held::of(&syn::parse_str(ty).unwrap());
        assert_eq!(text(&held.probe), probe, "the probe of {ty}");
        assert_eq!(text(&held.variable), variable, "the variable of {ty}");
        let name = Ident::new("held", Span::call_site());
        assert_eq!(
            text(&held.argument(&name)),
            argument,
            "the argument of {ty}"
        );
    }

    #[test]
    fn a_parameter_is_held_in_the_form_that_can_be_lent() {
        check("&str", "&'staticstr", "&str", "held");
        check("&'a str", "&'staticstr", "&str", "held");
        check("&[u8]", "&'static[u8]", "&[u8]", "held");
        check("String", "String", "String", "held");
        check("&Event", "Event", "Event", "&held");
        check("Event<'a>", "Event<'static>", "Event<'_>", "held");
        let words = "::std::vec::Vec<String>";
        check("&[String]", words, words, "&held");
        let pair = "(&'staticstr,Event)";
        check("(&str, &Event)", pair, "(&str,Event)", "(held.0,&held.1)");
    }
}
