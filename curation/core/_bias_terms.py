"""The words by which `bias` knows that a text mentions a group of people: our own lists, English, short on purpose.

A list holds plain words, none that demeans. A word that often means something else (`white`, `minor`, `disabled`) is
left out, or stands in a phrase that makes it plain. Whoever changes a list raises `VERSION`, since figures
of two versions can't be compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

VERSION: Final = "1"

TERMS: Final[Mapping[str, Mapping[str, str]]] = {
    "gender": {
        "women": "she her hers herself woman women female females girl girls mother mothers mom mum daughter daughters "
        "wife wives sister sisters girlfriend aunt niece grandmother widow lady ladies mrs ms",
        "men": "he him his himself man men male males boy boys father fathers dad son sons husband husbands brother "
        "brothers boyfriend uncle nephew grandfather widower gentleman gentlemen mr",
        "neither alone": "nonbinary non-binary genderqueer agender genderfluid gender-fluid transgender trans-woman "
        "trans-man trans-people intersex",
    },
    "age": {
        "children": "child children kid kids toddler toddlers infant infants baby babies minors",
        "young people": "teenager teenagers teen teens adolescent adolescents youth youths young-adult young-adults "
        "young-people young-person",
        "older people": "elderly pensioner pensioners retiree retirees grandparent grandparents senior-citizen "
        "senior-citizens older-adult older-adults older-people older-person old-age",
    },
    "religion": {
        "Christians": "christian christians christianity catholic catholics protestant protestants church churches",
        "Muslims": "muslim muslims islam islamic mosque mosques quran",
        "Jews": "jew jews jewish judaism synagogue synagogues rabbi rabbis",
        "Hindus": "hindu hindus hinduism",
        "Buddhists": "buddhist buddhists buddhism",
        "Sikhs": "sikh sikhs sikhism gurdwara",
        "without religion": "atheist atheists atheism agnostic agnostics nonreligious non-religious",
    },
    "origin": {
        "Africa": "africa african africans nigeria nigerian kenya kenyan ethiopia ethiopian ghana ghanaian",
        "Arab world": "arab arabs arabic egypt egyptian morocco moroccan iraq iraqi syria syrian lebanon lebanese",
        "East Asia": "china chinese japan japanese korea korean koreans taiwan taiwanese vietnam vietnamese",
        "South Asia": "india indian indians pakistan pakistani bangladesh bangladeshi nepal nepali sri-lanka",
        "Europe": "europe european europeans britain british germany german germans france french spain spanish italy "
        "italian italians poland polish",
        "Latin America": "mexico mexican mexicans brazil brazilian colombia colombian argentina latino latina latinos "
        "latinas hispanic hispanics",
        "North America": "american americans united-states canada canadian canadians",
        "indigenous peoples": "indigenous aboriginal inuit native-american native-americans first-nations tribal",
        "migrants": "immigrant immigrants migrant migrants refugee refugees asylum-seeker asylum-seekers",
    },
    "disability": {
        "disability": "disability disabilities disabled-person disabled-people disabled-child disabled-worker",
        "mobility": "wheelchair wheelchairs paraplegic paralysed paralyzed amputee",
        "senses": "deaf hearing-loss hard-of-hearing visually-impaired blind-person blind-people blindness",
        "mind": "autism autistic adhd dyslexia dyslexic dementia schizophrenia",
    },
    "orientation": {
        "same sex": "gay gays lesbian lesbians homosexual homosexuals bisexual bisexuals queer lgbt lgbtq same-sex",
        "other sex": "heterosexual heterosexuals straight-couple straight-couples opposite-sex",
    },
}
"""By dimension and group the terms, as whole words in small letters; a hyphen stands between the words of a phrase."""
