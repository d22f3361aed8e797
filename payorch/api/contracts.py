"""What the merchant API takes: the bodies of its calls as pydantic models, and the way from a parsed body to the domain's records.

Three looks at every body, in this order: what `strict_json` lets through, what looks like card data (`card_numbers`), and these models.
Everything wrong with a body is told at once, each with the pointer of its place and never with the value that was sent.

Not here: the shapes of answers (`shapes`), whether the state of a payment allows a call (the domain).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Protocol, TypeAlias, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, StringConstraints, ValidationError
from pydantic_core import PydanticCustomError

from payorch.api import card_numbers, strict_json
from payorch.api.card_numbers import REFUSED_NAME, REFUSED_NUMBER
from payorch.api.problems import Code, FieldError
from payorch.api.refusal import InvalidBody, Refusal
from payorch.api.strict_json import BodyTooLarge, JsonObject, JsonRefused, pointer_to
from payorch.domain import intent as domain
from payorch.domain.capability import Manifest
from payorch.domain.identifiers import MalformedIdentifier, parse
from payorch.domain.money import EXPONENTS, LARGEST_MINOR, chargeable

Body = TypeVar("Body", bound=BaseModel)
OptionCheck: TypeAlias = Callable[[Mapping[str, object]], list[str]]


class Offering(Protocol):
    """What this needs to know of a connector."""

    @property
    def manifest(self) -> Manifest: ...

    def check_options(self, given: Mapping[str, object]) -> list[str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Connectors:
    """What bodies are held to. options: of each connector that is switched on, the check of its own options, None where it takes none.
    methods: every method that any connector of this program offers, and whether all who do need a token for it.
    """

    options: Mapping[str, OptionCheck | None]
    methods: Mapping[str, bool]


MOST_METADATA: Final = 50
LONGEST_METADATA_NAME: Final = 40
LONGEST_METADATA_VALUE: Final = 500
LONGEST_URL: Final = 2048
LONGEST_TOKEN: Final = 255

# C0 and C1: they would draw on an operator's terminal, and no name, reference or token holds one.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
_URL: Final = re.compile(r"[!-~]+")


def _amount(value: Any) -> Any:
    # `type is`: True is an int.
    if type(value) is int and 1 <= value <= LARGEST_MINOR:
        return value
    raise PydanticCustomError("amount", f"An amount is a whole number of minor units from 1 to {LARGEST_MINOR}: 19.99 EUR is 1999.")


def _currency(value: Any) -> Any:
    if isinstance(value, str) and value in EXPONENTS:
        return value
    raise PydanticCustomError("currency", "A currency is a current ISO 4217 code with minor units, in upper case, such as EUR.")


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
        _ = parts.port  # raises where it is no number, or too large
    except ValueError:
        usable = False
    if not usable or _URL.fullmatch(value) is None:
        raise PydanticCustomError("url", "This is an absolute http or https URL without a user, in ASCII (percent-encoded where needed).")
    return value


def _payment_id(value: str) -> str:
    try:
        prefix, _ = parse(value)
    except MalformedIdentifier:
        prefix = ""
    if prefix != "pay":
        raise PydanticCustomError("payment_id", "This is the id of a payment: pay_ and 26 characters.")
    return value


Amount = Annotated[int, Field(ge=1, le=LARGEST_MINOR, description="In minor units: 1999 is 19.99 EUR."), BeforeValidator(_amount)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217, upper case."), BeforeValidator(_currency)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Token = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_TOKEN, pattern=r"^[ -~]+$")]
Country = Annotated[str, Field(description="ISO 3166-1 alpha-2, upper case."), StringConstraints(pattern=r"^[A-Z]{2}$")]
Url = Annotated[str, StringConstraints(max_length=LONGEST_URL), AfterValidator(_url)]
ConnectorName = Annotated[str, StringConstraints(min_length=1, max_length=40)]
Metadata = Annotated[
    dict[
        Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_METADATA_NAME)],
        Annotated[str, StringConstraints(max_length=LONGEST_METADATA_VALUE)],
    ],
    Field(max_length=MOST_METADATA),
]


class StrictBody(BaseModel):
    """What every body is: nothing in it is converted, and nothing that is not named here may be in it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class PaymentMethodBody(StrictBody):
    """How the shopper pays. A card needs `token` (offered to any connector) or `tokens` (one per connector), a wallet needs none."""

    type: Annotated[str, StringConstraints(min_length=1, max_length=40), Field(description="card, or a wallet that a connector offers.")]
    token: Token | None = None
    tokens: dict[ConnectorName, Token] | None = None
    brand: Annotated[str, StringConstraints(min_length=1, max_length=40)] | None = None
    last4: Annotated[str, StringConstraints(pattern=r"^[0-9]{4}$")] | None = None
    country: Country | None = None
    fingerprint: Word | None = None


class CustomerBody(StrictBody):
    """Who buys, as far as it helps to route and to find the payment again."""

    reference: Word | None = None
    country: Country | None = None
    email: Annotated[str, StringConstraints(max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")] | None = None


class CreatePaymentBody(StrictBody):
    """A wish to be paid."""

    amount: Amount
    currency: Currency
    reference: Word | None = None
    capture: Literal["automatic", "manual"] = "automatic"
    payment_method: PaymentMethodBody | None = None
    customer: CustomerBody | None = None
    return_url: Url | None = None
    confirm: bool = True
    initiator: Literal["customer", "merchant"] = "customer"
    connector: ConnectorName | None = None
    connector_options: dict[ConnectorName, dict[str, JsonValue]] = Field(default_factory=dict)
    retry_of: Annotated[str, AfterValidator(_payment_id)] | None = None
    metadata: Metadata = Field(default_factory=dict)


class ConfirmPaymentBody(StrictBody):
    """Go; what is given replaces what was given at the creation."""

    payment_method: PaymentMethodBody | None = None
    return_url: Url | None = None


class CancelPaymentBody(StrictBody):
    """There is nothing to say about it."""


class CapturePaymentBody(StrictBody):
    """How much to take of what is held: all of it, unless `amount` says less. `final` releases what is left."""

    amount: Amount | None = None
    final: bool | None = None
    reference: Word | None = None
    metadata: Metadata = Field(default_factory=dict)


class VoidPaymentBody(StrictBody):
    """Release the authorisation, or what captures have left of it."""

    reference: Word | None = None
    metadata: Metadata = Field(default_factory=dict)


class RefundPaymentBody(StrictBody):
    """How much to give back of what was captured: all of the rest, unless `amount` says less."""

    amount: Amount | None = None
    reason: Word | None = None
    reference: Word | None = None
    metadata: Metadata = Field(default_factory=dict)


def connectors_of(enabled: Mapping[str, Offering], known: Iterable[Offering]) -> Connectors:
    """What those that are switched on take as options, and what those that there are offer as methods."""
    methods: dict[str, bool] = {}
    for connector in known:
        for name, support in connector.manifest.methods.items():
            methods[name] = methods.get(name, True) and support.needs_token
    return Connectors(options={name: connector.check_options for name, connector in enabled.items()}, methods=methods)


def read_json(body: bytes, *, max_bytes: int, max_depth: int, lines: frozenset[str] = frozenset()) -> JsonObject:
    """The object in `body`, free of card data and control characters. lines: names of its members that are texts of several lines; in those
    line breaks and tabs are none. Raises Refusal.
    """
    try:
        value = strict_json.parse(body, max_depth=max_depth, max_bytes=max_bytes)
    except BodyTooLarge:
        raise Refusal(Code.PAYLOAD_TOO_LARGE) from None
    except JsonRefused as refused:
        raise Refusal(Code.INVALID_JSON, errors=[FieldError(pointer=refused.pointer, detail=refused.detail)]) from None
    found = card_numbers.find(value)
    if found:
        raise Refusal(Code.CARD_DATA_REFUSED, errors=[FieldError(pointer=one, detail=_why_card_data(one)) for one in found])
    if not _surely_without_controls(body):
        controls: list[FieldError] = []
        _find_controls({name: _one_line(member) if name in lines else member for name, member in value.items()}, "", controls)
        if controls:
            raise InvalidBody(controls)
    return value


def create_from(value: JsonObject, connectors: Connectors) -> tuple[domain.Intent, bool]:
    """What a creation asks for, and whether it is to be confirmed at once. Raises InvalidBody."""
    body = validated(CreatePaymentBody, value)
    errors = [*_method_errors(body.payment_method, connectors), *_connector_errors(body, connectors)]
    if body.confirm and body.payment_method is None:
        errors.append(FieldError(pointer="/payment_method", detail='This is required, unless "confirm" is false.'))
    if errors:
        raise InvalidBody(errors)
    intent = domain.Intent(
        amount=chargeable(body.amount, body.currency),
        capture=domain.CaptureMode(body.capture),
        method=_method(body.payment_method),
        reference=body.reference,
        customer=_customer(body.customer),
        return_url=body.return_url,
        initiator=domain.Initiator(body.initiator),
        connector=body.connector,
        connector_options=body.connector_options,
        retry_of=body.retry_of,
        metadata=body.metadata,
    )
    return intent, body.confirm


def confirm_from(value: JsonObject, connectors: Connectors) -> tuple[domain.PaymentMethod | None, str | None]:
    """The method and return URL of a confirmation, where it names them. Raises InvalidBody."""
    body = validated(ConfirmPaymentBody, value)
    errors = _method_errors(body.payment_method, connectors)
    if errors:
        raise InvalidBody(errors)
    return _method(body.payment_method), body.return_url


def check_cancel(value: JsonObject) -> None:
    """Raises InvalidBody where a cancellation says anything."""
    validated(CancelPaymentBody, value)


def capture_from(value: JsonObject) -> CapturePaymentBody:
    """Raises InvalidBody."""
    return validated(CapturePaymentBody, value)


def void_from(value: JsonObject) -> VoidPaymentBody:
    """Raises InvalidBody."""
    return validated(VoidPaymentBody, value)


def refund_from(value: JsonObject) -> RefundPaymentBody:
    """Raises InvalidBody."""
    return validated(RefundPaymentBody, value)


def validated(model: type[Body], value: JsonObject, context: Mapping[str, object] | None = None) -> Body:
    """The body as that model. context: what the model's own checks need to know. Raises InvalidBody, with all that is wrong."""
    try:
        return model.model_validate(value, context=context)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
    raise InvalidBody([FieldError(pointer=_pointer(one["loc"]), detail=_sentence(one["type"], one["msg"])) for one in found])


def _pointer(place: tuple[int | str, ...]) -> str:
    pointer = ""
    for part in place:
        if part != "[key]":  # pydantic's mark for "the name itself"
            pointer = pointer_to(pointer, part)
    return pointer


def _sentence(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "There is no such field."
    if kind == "missing":
        return "This field is required."
    return message if message.endswith(".") else f"{message}."


def _why_card_data(pointer: str) -> str:
    return REFUSED_NAME if card_numbers.names_card_data(pointer.rpartition("/")[2]) else REFUSED_NUMBER


def _surely_without_controls(body: bytes) -> bool:
    """Nearly every body: in strict JSON, C0 needs an escape, C1 is not ASCII, and DEL is seen as it is."""
    return b"\\" not in body and b"\x7f" not in body and body.isascii()


def _one_line(value: strict_json.JsonValue) -> strict_json.JsonValue:
    return value.replace("\r\n", " ").replace("\n", " ").replace("\t", " ") if isinstance(value, str) else value


def _find_controls(value: strict_json.JsonValue, pointer: str, found: list[FieldError]) -> None:
    if isinstance(value, str):
        if _CONTROL.search(value) is not None:
            found.append(FieldError(pointer=pointer, detail="This text holds a control character, such as a line break."))
    elif isinstance(value, dict):
        for name, member in value.items():
            if _CONTROL.search(name) is not None:
                found.append(FieldError(pointer=pointer, detail="A name in here holds a control character."))
            elif member is not None and type(member) is not int:
                _find_controls(member, pointer_to(pointer, name), found)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            _find_controls(member, pointer_to(pointer, index), found)


def _method_errors(method: PaymentMethodBody | None, connectors: Connectors) -> list[FieldError]:
    if method is None:
        return []
    errors = []
    if method.token is not None and method.tokens is not None:
        errors.append(FieldError(pointer="/payment_method/tokens", detail="Send token or tokens, not both."))
    if method.type not in connectors.methods:
        offered = ", ".join(sorted(connectors.methods))
        errors.append(FieldError(pointer="/payment_method/type", detail=f"No connector offers this method; there are: {offered}."))
    elif connectors.methods[method.type] and not method.token and not method.tokens:
        errors.append(FieldError(pointer="/payment_method/token", detail="This method needs a token, or tokens by connector."))
    for name in method.tokens or {}:
        if name not in connectors.options:
            errors.append(FieldError(pointer=pointer_to("/payment_method/tokens", name), detail=_no_connector(connectors)))
    return errors


def _connector_errors(body: CreatePaymentBody, connectors: Connectors) -> list[FieldError]:
    errors = []
    if body.connector is not None and body.connector not in connectors.options:
        errors.append(FieldError(pointer="/connector", detail=_no_connector(connectors)))
    for name, options in body.connector_options.items():
        pointer = pointer_to("/connector_options", name)
        if name not in connectors.options:
            errors.append(FieldError(pointer=pointer, detail=_no_connector(connectors)))
            continue
        check = connectors.options[name]
        wrong = check(options) if check is not None else ["This connector takes no options."] if options else []
        errors += [FieldError(pointer=pointer, detail=detail) for detail in wrong]
    return errors


def _no_connector(connectors: Connectors) -> str:
    return f"There is no such connector; there are: {', '.join(connectors.options) or 'none'}."


def _customer(body: CustomerBody | None) -> domain.Customer | None:
    return domain.Customer(reference=body.reference, country=body.country, email=body.email) if body is not None else None


def _method(body: PaymentMethodBody | None) -> domain.PaymentMethod | None:
    if body is None:
        return None
    return domain.PaymentMethod(
        type=body.type,
        token=body.token,
        tokens=body.tokens or {},
        brand=body.brand,
        last4=body.last4,
        country=body.country,
        fingerprint=body.fingerprint,
    )
