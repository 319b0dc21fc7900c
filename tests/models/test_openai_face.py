"""Any of our models behind the face of `AsyncOpenAI`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion

from curation.core.contracts import ChatModel, Completion, Message
from curation.core.errors import DiskError, EndpointError, RequestError
from curation.engine.guard import Guard
from curation.models import as_openai
from curation.models._openai import OpenaiFace
from curation.models.openai_compatible import OpenaiCompatible
from curation.models.scripted import Scripted
from tests.mock_endpoint import DROP, HANG, Answer, MockEndpoint, error, reply

HELLO: list[Message] = [{"role": "user", "content": "hello"}]
QUOTA = "insufficient_quota"


class Failing(ChatModel):
    """Fails as it is told."""

    name = "failing"

    def __init__(self, failure: Exception) -> None:
        self.failure = failure

    async def chat(self, messages: Sequence[Message], **sampling: Any) -> Completion:
        raise self.failure


@pytest.fixture
def server() -> Iterator[MockEndpoint]:
    with MockEndpoint() as server:
        yield server


def act(model: ChatModel, use: Callable[[OpenaiFace], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        face = as_openai(model)
        try:
            return await use(face)
        finally:
            await face.close()

    return asyncio.run(run())


def create(asked: ChatModel, messages: Sequence[Any] = HELLO, /, **arguments: Any) -> ChatCompletion:
    async def use(face: OpenaiFace) -> ChatCompletion:
        return await face.chat.completions.create(messages=messages, **{"model": asked.name, **arguments})

    completion: ChatCompletion = act(asked, use)
    return completion


def test_a_reply_is_the_packages_own(server: MockEndpoint) -> None:
    server.script(reply("one", "two", logprobs={"é": -0.5}))
    completion = create(
        OpenaiCompatible("teacher", server.url), n=2, stop=openai.NOT_GIVEN, seed=None, top_p=openai.omit,
        extra_body={"top_k": 5},
    )  # fmt: skip
    assert isinstance(completion, ChatCompletion)
    # Also by the package's own check, which it leaves out where it makes them itself.
    assert ChatCompletion.model_validate(completion.model_dump()).model == "served-model"
    assert [(choice.index, choice.message.content) for choice in completion.choices] == [(0, "one"), (1, "two")]
    assert [choice.finish_reason for choice in completion.choices] == ["stop", "stop"]
    assert completion.usage is not None
    assert (completion.usage.prompt_tokens, completion.usage.total_tokens) == (7, 13)
    logprobs = completion.choices[0].logprobs
    assert logprobs is not None
    assert [(token.token, token.logprob, token.bytes) for token in logprobs.content or ()] == [("é", -0.5, [195, 169])]
    assert server.requests == [{"model": "teacher", "messages": HELLO, "n": 2, "top_k": 5}]


def test_what_was_answered_can_be_sent_again(server: MockEndpoint) -> None:
    model = OpenaiCompatible("teacher", server.url)
    first = create(model)
    create(model, [*HELLO, first.choices[0].message, {"role": "user", "content": "go on"}])
    assert server.requests[1]["messages"][1] == {"role": "assistant", "content": "fine"}


def test_a_reply_that_tells_no_usage_has_none(server: MockEndpoint) -> None:
    server.script(Answer(body=b'{"choices": [{"message": {"content": "fine"}}]}'))
    completion = create(OpenaiCompatible("teacher", server.url))
    assert completion.usage is None
    assert (completion.model, completion.choices[0].logprobs) == ("teacher", None)


def test_nemo_curators_client_asks_it(server: MockEndpoint) -> None:
    from nemo_curator.services import AsyncOpenAIClient

    server.script(reply("fine"), reply("1.5", logprobs={"helpfulness": 1.5}))

    async def use(face: OpenaiFace) -> Any:
        client = AsyncOpenAIClient(face)
        texts = await client.query_model(messages=HELLO, model="teacher", temperature=0.2, max_tokens=64)
        return texts, await client.query_reward_model(messages=HELLO, model="teacher")

    assert act(Guard(OpenaiCompatible("teacher", server.url)), use) == (["fine"], {"helpfulness": 1.5})
    assert server.requests[0] == {"model": "teacher", "messages": HELLO, "temperature": 0.2, "max_tokens": 64}


def test_nemo_curators_generator_asks_it() -> None:
    from nemo_curator.services import AsyncOpenAIClient
    from nemo_curator.synthetic import AsyncNemotronGenerator

    model = Scripted([{"match": "topics", "reply": "1. Tenancy law"}])

    async def use(face: OpenaiFace) -> Any:
        generator = AsyncNemotronGenerator(AsyncOpenAIClient(face), logger=logging.getLogger("test"))
        return await generator.generate_macro_topics(n_macro_topics=1, model="scripted")

    assert act(model, use) == ["1. Tenancy law"]


STATUSES = [
    (error(401), openai.AuthenticationError, 401),
    (error(403), openai.AuthenticationError, 403),
    (error(404), openai.NotFoundError, 404),
    (error(400, "The model `x` does not exist"), openai.NotFoundError, 404),
    (error(400, "maximum context length is 4096 tokens"), openai.BadRequestError, 400),
    (error(422), openai.BadRequestError, 400),
    (error(402), openai.RateLimitError, 429),
    (error(429), openai.RateLimitError, 429),
    (error(500), openai.InternalServerError, 500),
    (error(503), openai.InternalServerError, 503),
]


@pytest.mark.parametrize("guarded", [False, True])
@pytest.mark.parametrize(("answer", "kind", "status"), STATUSES)
def test_statuses_raise_the_packages_errors(
    server: MockEndpoint, answer: Answer, kind: type[openai.APIStatusError], status: int, guarded: bool
) -> None:
    server.default = lambda _: answer
    model: ChatModel = OpenaiCompatible("teacher", server.url)
    with pytest.raises(openai.APIStatusError) as caught:
        create(Guard(model, attempts=1, patience=0.0) if guarded else model)
    assert type(caught.value) is kind
    assert caught.value.status_code == caught.value.response.status_code == status
    assert isinstance(caught.value.__cause__, EndpointError | RequestError)
    assert caught.value.message in str(caught.value.__cause__)


@pytest.mark.parametrize(("fault", "kind"), [(HANG, openai.APITimeoutError), (DROP, openai.APIConnectionError)])
def test_what_never_was_answered_raises_the_packages_errors(
    server: MockEndpoint, fault: str, kind: type[openai.APIConnectionError]
) -> None:
    server.script(Answer(fault=fault))
    with pytest.raises(openai.APIConnectionError, match=server.url) as caught:
        create(OpenaiCompatible("teacher", server.url, timeout=0.2 if fault == HANG else 30))
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("failure", "kind", "code"),
    [
        (EndpointError("http://h/v1 has nothing left to spend for x: 402 pay"), openai.RateLimitError, QUOTA),
        (RequestError("budget_spent", "10 USD are spent"), openai.RateLimitError, QUOTA),
        (RequestError("unscripted_request", "hello"), openai.BadRequestError, None),
        (EndpointError("http://h/v1 can't be reached: nobody there"), openai.APIConnectionError, None),
        (RequestError("empty_reply", " "), openai.APIResponseValidationError, None),
    ],
)
def test_other_failures_raise_what_fits(failure: Exception, kind: type[openai.APIError], code: str | None) -> None:
    with pytest.raises(kind) as caught:
        create(Failing(failure))
    assert caught.value.code == code


def test_a_reply_that_stays_cut_is_in_its_error() -> None:
    with pytest.raises(openai.LengthFinishReasonError) as caught:
        create(Failing(RequestError("cut_reply", "half of")))
    (choice,) = caught.value.completion.choices
    assert (choice.finish_reason, choice.message.content) == ("length", "half of")
    with pytest.raises(openai.ContentFilterFinishReasonError):
        create(Failing(RequestError("content_filter", "…")))


def test_a_fault_of_this_machine_stays_what_it_is() -> None:
    with pytest.raises(DiskError):
        create(Failing(DiskError("the journal can't be written")))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"stream": True}, "stream must be False"),
        ({"tools": [{}]}, "takes no tools"),
        ({"timeout": 3.0}, "leave out timeout"),
        ({"extra_headers": {"a": "b"}}, "leave out extra_headers"),
    ],
)
def test_what_a_model_cannot_do_is_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        create(Scripted(), **arguments)


def test_another_models_name_is_not_found() -> None:
    with pytest.raises(openai.NotFoundError, match="asks scripted, not other"):
        create(Scripted(), model="other")
    assert create(Scripted(), stream=openai.NOT_GIVEN).choices[0].message.content
