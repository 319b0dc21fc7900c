from __future__ import annotations

import pickle

import pytest

from curation.filters.refusal import Refusal

refusal = Refusal()

REFUSALS = [
    "I'm sorry, but I can't assist with that.",
    "I\u2019m sorry, but I can\u2019t assist with that request.",
    "I'm sorry, I cannot help with that.",
    "I am sorry, but I am unable to help you with this request.",
    "Sorry, I can't help with that.",
    "Sorry, but I cannot assist you with that.",
    "I apologize, but I cannot fulfill your request.",
    "I apologise, but I'm not able to provide legal advice.",
    "My apologies, but I cannot complete this request.",
    "Unfortunately, I cannot provide specific legal advice on this matter.",
    "I'm really sorry, but I cannot generate that kind of text.",
    "I'm sorry for the inconvenience, but I cannot browse the internet.",
    "I cannot fulfill this request.",
    "I can't satisfy your request, I'm just an AI.",
    "I can't help with that.",
    "I cannot provide instructions on how to forge a will.",
    "I can't provide information or guidance on illegal or harmful activities.",
    "I won't assist with such requests.",
    "I must respectfully decline to answer this question.",
    "I must decline.",
    "As an AI language model, I don't have personal opinions.",
    "As an AI, I cannot give legal advice, but in general a lease binds both sides.",
    "As an artificial intelligence, I have no feelings.",
    "as a large language model trained by OpenAI, I can explain.",
    "As an AI assistant I can only speak generally.",
    "I'm just an AI and I can't replace a lawyer.",
    "I am a language model, so take this with care.",
    "I'm an AI assistant developed by a company.",
    "I'm sorry, but as an AI language model I can't answer.",
    "I'm sorry, as an AI developed by someone, I can't say.",
    "I don't have access to real-time data.",
    "I do not have personal beliefs, but here is the law.",
    "I don't have the ability to access court records.",
    "As of my last knowledge update in September 2021, the statute stood.",
    "As of my knowledge cutoff, this was pending.",
    "\"I'm sorry, but I can't assist with that.\"",
    "**I'm sorry, but I can't help with that.**",
    "Assistant: I cannot comply with this request.",
    "  \n I cannot assist you.",
    "I CANNOT ASSIST WITH THAT.",
]

ANSWERS = [
    "",
    "The tenant cannot be evicted without notice.",
    "I can't help but think that the statute is badly drafted.",
    "I cannot help but notice that your contract has no date.",
    "I can't help you with your taxes, but the deadline is in April.",
    "I can't help with the second question, but the first is settled law.",
    "I cannot find a statute that says so.",
    "I can't speak for Australia, but in England the rule is clear.",
    "I can't answer for every state, but most follow the Restatement.",
    "I cannot provide a citation, but the rule is old.",
    "I am not a lawyer, and this is not legal advice.",
    "I'm not your lawyer. That said, you may sue.",
    "I'm sorry to hear that. You should call the police.",
    "Sorry for the delay; the answer is yes.",
    "I'm sorry, but the landlord is right.",
    "Sorry, but that is not how precedent works.",
    "Unfortunately, the court cannot help you with that.",
    "Unfortunately, I cannot find the case, but the rule stands.",
    "Unfortunately, you can't sue the state.",
    "I apologize if this is obvious: the contract is void.",
    "As an AI researcher, I have read the licence many times.",
    "As an AI company's counsel, I see this often.",
    "As an attorney, I cannot discuss a client's affairs.",
    "As an airline passenger, you have rights.",
    "I am an artificial intelligence lawyer in California.",
    "I'm an AI engineer, not a lawyer, but the GPL says so.",
    "As a language teacher, I would read the clause differently.",
    "An AI language model cannot hold a copyright.",
    "The model said: I'm sorry, but I can't assist with that.",
    'You ask what to do when a bot answers "As an AI language model". Ignore it.',
    "As of my last visit to the court, the form had changed.",
    "As of March 2021, the law has changed.",
    "I won't go into the details, but the deposit must be returned.",
    "We will not know until the court decides.",
    "I must decline jurisdiction, said the judge.",
    "I don't have access to your contract, but the usual clause reads so.",
    "I do not have the statute at hand; the gist is this.",
    "I can't assist in fraud, the lawyer must say, and withdraw.",
    "Can I refuse to help with that request? Yes, an employee may.",
    "I cannot help that was decided against you.",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_refusals_and_disclaimers(text: str) -> None:
    assert refusal.score_document(text) == 1.0
    assert not refusal.keep_document(1.0)


@pytest.mark.parametrize("text", ANSWERS)
def test_answers(text: str) -> None:
    assert refusal.score_document(text) == 0.0
    assert refusal.keep_document(0.0)


def test_only_the_opening_counts() -> None:
    assert refusal.score_document("The notice was valid. " * 30 + "As an AI language model, I cannot say more.") == 0.0


@pytest.mark.parametrize("filler", ["I'm sorry ", "sorry, but ", '"* > ', "unfortunately for ", "as an AI "])
def test_endless_openings_open_nothing(filler: str) -> None:
    assert refusal.score_document(filler * 20000) == 0.0


def test_pickles() -> None:
    assert pickle.loads(pickle.dumps(refusal)).score_document(REFUSALS[0]) == 1.0
