//! An identity provider as a test plays it: its keys, and tokens signed with them, written by hand.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use ring::{
    rand::SystemRandom,
    rsa::PublicKeyComponents,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
        RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use serde_json::{Value, json};

/// Made for these tests by `openssl genrsa -traditional`: `ring` makes no RSA keys.
const RSA: &str = concat!(
    "MIIEpAIBAAKCAQEAyX8JleXGJLE2TlF36fGrcWgAEc30asR/2bWORI5+WqjvZcIO5EkzJxkwYj29b9l/XXwuLuoWKQGCNBaHD9Cs",
    "46lPK99rWEce22cNf4J5lQ5Hswe3qsLT0450dzj4cEDTfLFiLSZVL0JQny+NhHvIB4LKfFM9LxD8qP0Z6whbtM8KlQijcfI33l+D",
    "A8BrCvS3OCCXDIqhBFKzIG4bZwYoE18QbA8ljc5Cy8+j/tbV+ZlBgljA4i2Uwb6faDMbv9elwQubM3Wm91N2XY/q9HlEF+rTLK5N",
    "q15I3uyzr1xx+m+yqwLFWbLkDsXtIIfVx42Gk5as8Foy9jbWpJUZmN0QNQIDAQABAoIBABLeuE2W7qb6B51vCL1aehVNSZBhSs4C",
    "5/xCAfhOpeuknYLYmR9s8YLsW3kf0hFa+5AMNKEFIB0n/IMXRv/GqaJKdVUk/78NLgkbDgsOc4dvhmxwQRWXWFIcKbEOn0mX8JZh",
    "YFHdIKYj3jwCLo0lMHbvmznoa7bwLtE+nsJBjqEQhiBp5VDL01WII6DRHq9R5AsZ3YCh+JH8tPAKnn4YYwMvltABWN0qzUhUxRcA",
    "Ee5mHLjqK/LJyf+V1icTmgRgUr9R2EBAXOFKZ9G3BLxP4CnncVLOh5HkVf+pvUe1WJI+EDKOBMVTA7glj+/iDeG8FDbtKubz0T6e",
    "PaPqi1hKaMECgYEA5lnnBawNwsbyQGVN4G+K+0jTjrkfFZ7uRTZnj50uO7tcJDtRRL8eQvmAjbs21/F6O2sfQxgdVMAwingylRQc",
    "DhQ4NbDfBEmeRFz9TgjkpNyuJRnClOHIOi00Pzs5kUqy68dKteJTbQbTlGmTqLNAkcGoVl+CGqU0fTznWZIxBBUCgYEA3+6h/hiZ",
    "WgbzwADf4t6gduIFE7vdcr8pyYAum5vXaw7jXlP7DW/0ku4Qtja6y1q6RC0V4EUpuS5hUPEuIgYLFo2p+YmnVcyVLX4Q/6138mQb",
    "8sgzuETzI7zDkrzlPQJ3FKeFc57XHE2njjtddsUtR3LrMjW3vXPBP68JxioYQ6ECgYBOcaM4zUTKZdGtmFIS8ilUNZLF8cjiJgNi",
    "Uoql35MVCFLyi7i7PpJhoHHk0jJ1C2jivzIgOSAT8ncVUKV5GyYKrVwO/LKV1TQud7RTVLf4ZKZxP/qBlPoIxcgbGGIcVmHj5TRO",
    "CEr8v+xhiCqespx0hox7DX9S75uWYp0uZZiHmQKBgQC4xlKatTeMhqIIs3AJ5oNntTZVQzYGIeDcKM3Mjrog16cbRZapTtDzkEbv",
    "45cchx+dc8pSRR+ZcsDQJkJXxr7NfFVd14zhCi+p2xUxs7R+qMY6/aFXkmVB/tcttHo/blJOE7DVZ6K98wGoJioH/8lN5HBX/OVB",
    "CUvTPZ6GCmP9IQKBgQDF+0tJ/Ub4ql1IbYzNRn6uDIFev7x9Nze9Xw+qhsK3zTpWbFx2nX35pjbnp4NvP0oieKECRim2V6Emz+N+",
    "XZdM6QtbLGxFcmBNzOhY6tEjPpQafLSCUyxuHZbeCFgGaxSj5d1ohoH6LSBr7qM+VwUuN/WgnIJ8MKyTQ90s3pxqeA=="
);

/// A key of the provider, by its id.
pub(super) struct SigningKey {
    pub(super) id: &'static str,
    pair: Pair,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    pub(super) fn rsa(id: &'static str) -> Self {
        let der = STANDARD.decode(RSA).unwrap();
        let pair = Pair::Rsa(Box::new(RsaKeyPair::from_der(&der).unwrap()));
        Self { id, pair }
    }

    pub(super) fn p256(id: &'static str) -> Self {
        let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let der = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, der.as_ref(), &random).unwrap();
        Self {
            id,
            pair: Pair::P256(pair),
        }
    }

    pub(super) fn ed25519(id: &'static str) -> Self {
        let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(der.as_ref()).unwrap();
        Self {
            id,
            pair: Pair::Ed25519(pair),
        }
    }

    pub(super) const fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::P256(_) => "ES256",
            Pair::Ed25519(_) => "EdDSA",
        }
    }

    /// The public key as a JSON Web Key.
    pub(super) fn public(&self) -> Value {
        match &self.pair {
            Pair::Rsa(pair) => {
                let PublicKeyComponents { n, e } =
                    PublicKeyComponents::<Vec<u8>>::from(pair.public());
                json!({"kty": "RSA", "kid": self.id, "use": "sig", "n": encode(&n), "e": encode(&e)})
            }
            Pair::P256(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = (encode(&point[1..33]), encode(&point[33..]));
                json!({"kty": "EC", "crv": "P-256", "kid": self.id, "x": x, "y": y})
            }
            Pair::Ed25519(pair) => {
                let x = encode(pair.public_key().as_ref());
                json!({"kty": "OKP", "crv": "Ed25519", "kid": self.id, "x": x})
            }
        }
    }

    /// A token with these claims.
    pub(super) fn token(&self, claims: &Value) -> String {
        let header = json!({"typ": "JWT", "alg": self.algorithm(), "kid": self.id});
        signed(&header, claims, |message| self.sign(message))
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .unwrap();
                signature
            }
            Pair::P256(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

/// A key set with the public keys.
pub(super) fn key_set(keys: &[&SigningKey]) -> Value {
    json!({"keys": keys.iter().map(|key| key.public()).collect::<Vec<_>>()})
}

/// A token with any header, signed in any way.
pub(super) fn signed(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let message = format!(
        "{}.{}",
        encode(header.to_string().as_bytes()),
        encode(claims.to_string().as_bytes())
    );
    let signature = sign(message.as_bytes());
    format!("{message}.{}", encode(&signature))
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
