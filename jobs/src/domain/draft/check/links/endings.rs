//! The endings under which a bare domain without a path is taken for a link. Others are file names and missing spaces.
//!
//! Each is an alternative of a regular expression, in lower case.

/// No word or abbreviation in any text: a link in any capitals.
pub(super) const CLEAR: &str = "com|net|org|biz|io|xyz|icu|ru|cn|uk|edu|gov";

/// A link in lower case, or in capitals as the host is. `Fin.De` is the end of a sentence without its space.
pub(super) const COUNTRIES: &str =
    "de|fr|eu|ch|nl|es|pl|se|dk|fi|pt|cz|ca|au|br|jp|ie|tr|mx|kr|za|nz|ro|gr|hu|gq|cf|ly";

/// As [`COUNTRIES`], and words of English, so that `dot in` is none.
pub(super) const WORDS: &str = "info|co|app|dev|ai|me|top|site|online|shop|store|club|live|link|click|vip|work|support|cloud|\
                                page|pro|tech|at|be|it|us|in|tv|cc|gg|to|ws|tk|ml|ga";
