//! [`str_enum!`](crate::str_enum): closed enums whose values have one text each in JSON, tables, YAML and metrics.
//! [`text_enum!`](crate::text_enum) is the part of it that needs no database.

/// Defines an enum with `ALL`, `as_str`, `parse` and `Display`, all from one list of texts: no variant can be missing in
/// one of them.
#[macro_export]
macro_rules! text_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $(#[$doc])*
        pub enum $name {
            $($(#[$variant_doc])* $variant),+
        }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text),+
                }
            }

            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|item| item.as_str() == text)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

/// Defines a [`text_enum!`](crate::text_enum) with serde, `JsonSchema` and, for text columns, its SQL type. The calling
/// crate needs `serde`, `schemars` and `sqlx`.
///
/// `query_as!` reads a column into the enum with `status as "status: Status"`; a text that is not in the list is an error
/// of that query. Read a column as `String` and use `parse` where rows of other versions are expected.
#[macro_export]
macro_rules! str_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $crate::text_enum! {
            #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
            $(#[$doc])*
            $name {
                $($(#[$variant_doc])* #[serde(rename = $text)] $variant = $text),+
            }
        }

        impl sqlx::Type<sqlx::Postgres> for $name {
            fn type_info() -> sqlx::postgres::PgTypeInfo {
                <str as sqlx::Type<sqlx::Postgres>>::type_info()
            }

            fn compatible(ty: &sqlx::postgres::PgTypeInfo) -> bool {
                <str as sqlx::Type<sqlx::Postgres>>::compatible(ty)
            }
        }

        impl<'row> sqlx::Decode<'row, sqlx::Postgres> for $name {
            fn decode(
                value: sqlx::postgres::PgValueRef<'row>,
            ) -> Result<Self, sqlx::error::BoxDynError> {
                let text = <&str as sqlx::Decode<sqlx::Postgres>>::decode(value)?;
                Self::parse(text)
                    .ok_or_else(|| format!("{text:?} is no {}", stringify!($name)).into())
            }
        }
    };
}
