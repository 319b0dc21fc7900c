"""Lets code that was written for `AsyncOpenAI` ask any `ChatModel`. Importing this module imports the `openai` package.

A guard hands on what an endpoint said as text, which begins with its status, so the status is read from there.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast, get_type_hints
from uuid import uuid4

import openai
from openai.types.chat import ChatCompletion

from curation.core.contracts import ChatModel, Completion, Message, Usage
from curation.core.errors import EndpointError, RequestError

_ADDRESS: Final = "http://model/chat/completions"
"""What errors of the package name as the address of the request: the text tells the real one."""
_STATUS: Final = re.compile(r"(?:^|: )([45]\d\d) ")
_STATUS_ERRORS: Final[dict[int, type[openai.APIStatusError]]] = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.AuthenticationError,  # with which NVIDIA's endpoints and others refuse a wrong key
    404: openai.NotFoundError,
    409: openai.ConflictError,
    422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
}
_QUOTA, _UNKNOWN = "insufficient_quota", "model_not_found"
_NO_QUOTA: Final = re.compile(r"\S+ has nothing left to spend ")
_NO_MODEL: Final = re.compile(r"\S+ has no model ")
_NOT_TEXT: Final = ("tools", "functions", "audio")
_NOT_OURS: Final = ("extra_headers", "extra_query", "timeout")


class OpenaiFace:
    """A `ChatModel` with the part of `AsyncOpenAI`'s face that asks for completions: `.chat.completions.create`.

    Args:
        model: answers every request. The `model` of a call must be its name: answering in another's name would put a
            wrong model into the lineage.
    """

    def __init__(self, model: ChatModel) -> None:
        self.model = model
        self.chat = _Chat(model)

    async def close(self) -> None:
        """Closes the model's connections."""
        await self.model.close()


class _Chat:
    def __init__(self, model: ChatModel) -> None:
        self.completions = Completions(model)


class Completions:
    """What `.chat.completions` is."""

    def __init__(self, model: ChatModel) -> None:
        self._model = model

    async def create(
        self,
        *,
        messages: Iterable[Any],
        model: str,
        stream: Any = False,
        extra_body: Mapping[str, Any] | None = None,
        **sampling: Any,
    ) -> ChatCompletion:
        """A reply, as the `openai` package returns it.

        Args:
            messages: the conversation: mappings, or messages of the package's own types.
            model: the name of the model of this face.
            stream: only False.
            extra_body: parameters that the package doesn't know.
            sampling: the package's names; what is None or not given is left out.

        Raises:
            ValueError: something that a `ChatModel` can't do: streaming, tools, headers or a time-out of a request.
            openai.OpenAIError: the package's own error for what went wrong, such as `RateLimitError`; a reply that
                stays cut is a `LengthFinishReasonError`, which holds it.
        """
        asked = {name: value for name, value in {**sampling, **(extra_body or {})}.items() if _is_given(value)}
        _check(asked, _is_given(stream) and stream)
        if model != self._model.name:
            raise _status_error(404, f"this client asks {self._model.name}, not {model}", _UNKNOWN)
        try:
            completion = await self._model.chat([_plain(message) for message in messages], **asked)
        except RequestError as error:
            raise _of_request(error, model) from error
        except EndpointError as error:
            raise _of_endpoint(str(error)) from error
        return _completion(completion, model)


def _is_given(value: Any) -> bool:
    return value is not None and not isinstance(value, openai.NotGiven | openai.Omit)


def _check(asked: Mapping[str, Any], stream: bool) -> None:
    if stream:
        raise ValueError("a ChatModel answers whole: stream must be False")
    for name in asked:
        if name in _NOT_TEXT:
            raise ValueError(f"a ChatModel answers with text: it takes no {name}")
        if name in _NOT_OURS:
            raise ValueError(f"a ChatModel brings its own headers and time-out: leave out {name}")


def _plain(message: Any) -> Message:
    return cast(Message, dict(message) if isinstance(message, Mapping) else message.model_dump(exclude_unset=True))


def _completion(completion: Completion, model: str) -> ChatCompletion:
    """The package's type, made as the package makes it from an endpoint's reply: unchecked."""
    tokens = [
        {"token": token, "logprob": number, "bytes": list(token.encode()), "top_logprobs": []}
        for token, number in completion.logprobs or ()
    ]
    choices = [
        {
            "index": index,
            "finish_reason": completion.finish_reason or "stop",
            "message": {"role": "assistant", "content": text},
            "logprobs": {"content": tokens} if tokens and index == 0 else None,
        }
        for index, text in enumerate(completion.texts)
    ]
    return ChatCompletion.construct(
        id=f"chatcmpl-{uuid4().hex}",
        object="chat.completion",
        created=int(time.time()),
        model=completion.model or model,
        choices=choices,
        usage=_usage(completion.usage),
    )


def _usage(usage: Usage) -> dict[str, int] | None:
    if usage == Usage():
        return None
    prompt, reply = usage.prompt_tokens, usage.completion_tokens
    return {"prompt_tokens": prompt, "completion_tokens": reply, "total_tokens": prompt + reply}


def _of_request(error: RequestError, model: str) -> openai.OpenAIError:
    if error.reason == "cut_reply":
        return openai.LengthFinishReasonError(completion=_completion(Completion((error.detail,), "length"), model))
    if error.reason == "content_filter":
        return openai.ContentFilterFinishReasonError()
    if error.reason == "budget_spent":
        return _status_error(429, str(error), _QUOTA)
    if error.reason == "request_failed":
        return _of_text(error.detail)
    if error.reason == "empty_reply":
        return openai.APIResponseValidationError(_response(200), None, message=str(error))
    return _status_error(400, str(error))


def _of_endpoint(text: str) -> openai.OpenAIError:
    if _NO_QUOTA.match(text):
        return _status_error(429, text, _QUOTA)
    if _NO_MODEL.match(text):
        return _status_error(404, text, _UNKNOWN)
    return _of_text(text)


def _of_text(text: str) -> openai.OpenAIError:
    """The error that fits what an endpoint said, or what kept it from saying anything."""
    if found := _STATUS.search(text):
        return _status_error(int(found[1]), text)
    request = _request()
    if "no reply within" in text:
        timed_out = openai.APITimeoutError(request)
        timed_out.message, timed_out.args = text, (text,)
        return timed_out
    return openai.APIConnectionError(message=text, request=request)


def _status_error(status: int, message: str, code: str | None = None) -> openai.APIStatusError:
    kind = openai.InternalServerError if status >= 500 else _STATUS_ERRORS.get(status, openai.APIStatusError)
    return kind(message, response=_response(status), body={"message": message, "code": code})


def _request() -> Any:
    """A request in the type of the package's own HTTP library, whichever it uses."""
    return get_type_hints(openai.APIError.__init__)["request"]("POST", _ADDRESS)


def _response(status: int) -> Any:
    return get_type_hints(openai.APIStatusError.__init__)["response"](status, request=_request())
