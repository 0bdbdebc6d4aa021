//! [`TupleId`]: where the row of a claimed job lies in its table.

use sqlx::{
    Database, Decode, Encode, Postgres, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef, types::Oid},
};

/// Where a job's row lies (a `tid`), so that its settle finds it without an index. The row moves when it is updated, for example
/// because its lease is renewed; the default is no place at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TupleId([u8; 6]);

impl Type<Postgres> for TupleId {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(27))
    }
}

impl PgHasArrayType for TupleId {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(1010))
    }
}

impl Decode<'_, Postgres> for TupleId {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        Ok(Self(value.as_bytes()?.try_into()?))
    }
}

impl Encode<'_, Postgres> for TupleId {
    fn encode_by_ref(
        &self,
        buffer: &mut <Postgres as Database>::ArgumentBuffer,
    ) -> Result<IsNull, BoxDynError> {
        let buffer: &mut PgArgumentBuffer = buffer;
        buffer.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }
}
