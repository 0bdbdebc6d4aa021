//! Who submitted a job, as its arguments say: [`api_key_of`].

use crate::domain::ApiKeyId;
use serde::Deserialize;
use serde_json::Value;

/// The field that the arguments of the kinds share that call a model, or lead to a job that does.
#[derive(Deserialize)]
struct Submitted {
    #[serde(default)]
    api_key: Option<ApiKeyId>,
}

/// Returns the API key that submitted the job, directly or through another job; none for a person and a watched mailbox.
pub fn api_key_of(args: &Value) -> Option<ApiKeyId> {
    Submitted::deserialize(args).ok()?.api_key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::MessageId, kinds::draft};

    #[test]
    fn api_key_is_read_from_arguments_and_left_out_of_those_of_a_person() {
        let key = ApiKeyId::new();
        let mut args = draft::Args::reply(MessageId::new());
        let of_person = serde_json::to_value(&args).unwrap();
        assert_eq!(
            (api_key_of(&of_person), of_person.get("api_key")),
            (None, None)
        );
        args.api_key = Some(key);
        let of_key = serde_json::to_value(&args).unwrap();
        assert_eq!(api_key_of(&of_key), Some(key));
    }
}
