"""The signature of a token, checked by PyJWT, without two things that cost more than the signature itself.

Every caller sends a token, so both would be a tenth of what a hook costs.
"""

import base64
import binascii

import jwt
from jwt.algorithms import HMACAlgorithm, OKPAlgorithm
from jwt.utils import force_bytes


class PreparedHmac(HMACAlgorithm):
    """HS256 without PyJWT's check of the secret for each token (is it a PEM, a DER, a JWK?): it was made before."""

    def __init__(self) -> None:
        super().__init__(HMACAlgorithm.SHA256)

    def prepare_key(self, key: str | bytes) -> bytes:
        """The key as it is."""
        return force_bytes(key)

    def check_key_length(self, key: bytes) -> str | None:
        """None: nothing is to be said of the length."""
        return None


class Signatures(jwt.PyJWS):
    """PyJWT's JSON Web Signatures. A secret of HS256 is to be checked by `HMACAlgorithm.prepare_key`, once."""

    def __init__(self) -> None:
        super().__init__()
        self.unregister_algorithm("HS256")
        self.register_algorithm("HS256", PreparedHmac())
        self.register_algorithm("Ed25519", OKPAlgorithm())  # the newer name of EdDSA with this curve (RFC 9864, 2.2)

    @staticmethod
    def _decode_base64url_segment(segment: bytes, name: str) -> bytes:
        """The bytes of one of a token's three parts. Raises DecodeError.

        PyJWT looks up each letter in Python. A text that is the very base64url of what it decodes to has passed all of
        its checks; PyJWT decides about any other. If it ever asks another method, tokens are slower, and nothing else.
        """
        try:
            decoded = base64.urlsafe_b64decode(segment + b"==")  # more padding than needed is ignored
        except binascii.Error:
            decoded = b""
        if base64.urlsafe_b64encode(decoded).rstrip(b"=") == segment:
            return decoded
        return jwt.PyJWS._decode_base64url_segment(segment, name)
