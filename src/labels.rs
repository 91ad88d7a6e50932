//! Enums whose variants have a name in a log, a page or on a wire. Each stands once, with its name:
//! what is counted by it, listed or told cannot have another spelling or leave one out.

#![forbid(unsafe_code)]

/// An enum of variants with names, as
///
/// ```text
/// labels! {
///     /// Why.
///     pub enum Reason {
///         /// It took too long.
///         Slow = "slow",
///     }
/// }
/// ```
///
/// which has `ALL` variants in the order of their declaration, so that `ALL[reason as usize]` is
/// the reason, and each as a string by `as_str`.
macro_rules! labels {
    (
        $(#[$of_enum:meta])*
        pub enum $name:ident { $($(#[$of_variant:meta])* $variant:ident = $label:literal,)* }
    ) => {
        $(#[$of_enum])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$of_variant])* $variant,)* }

        impl $name {
            /// Every one, in the order of the declaration.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// Its name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $label,)*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(crate) use labels;
