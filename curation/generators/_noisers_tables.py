"""What people write for other words: common misspellings, safe synonyms, registers, homophones and short forms.

Every table is our own, written for this package. An entry stands where a reader takes both sides for the same in nearly
any sentence; words on which a rule turns (negations, `may`, `shall`, `must`) and terms of law are in none of them.

The tables are code, and not data files, so that a changed entry runs the generator's stage again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

Phrases = dict[str, list[tuple[tuple[str, ...], tuple[str, ...]]]]
"""By the first word: the words of each phrase, the longest phrase first, and what may stand in its place."""


def phrases(entries: Iterable[tuple[str, str]] | Mapping[str, str]) -> Phrases:
    """A table to look phrases up in.

    Args:
        entries: a phrase in lower case and what may stand for it; a phrase that comes twice has both to choose from.
    """
    choices: dict[tuple[str, ...], list[str]] = {}
    for phrase, other in entries.items() if isinstance(entries, Mapping) else entries:
        choices.setdefault(tuple(phrase.lower().split()), []).append(other)
    table: Phrases = {}
    for words in sorted(choices, key=lambda words: (-len(words), words)):
        table.setdefault(words[0], []).append((words, tuple(choices[words])))
    return table


def _pairs(text: str, both_ways: bool = False) -> list[tuple[str, str]]:
    """Lines of `one form, another form = its other, the other's other`: forms with the same place belong together."""
    pairs = []
    for line in text.strip().splitlines():
        left, right = (side.split(",") for side in line.split("="))
        pairs += [(one.strip(), other.strip()) for one, other in zip(left, right, strict=True)]
    return pairs + [(other, one) for one, other in pairs if both_ways]


def _choices(text: str) -> list[tuple[str, str]]:
    """Words separated by blanks, each `right:wrong` or `right:wrong,wrong`; `_` stands for a blank."""
    return [
        (right.replace("_", " "), wrong.replace("_", " "))
        for right, _, several in (entry.partition(":") for entry in text.split())
        for wrong in several.split(",")
    ]


MISSPELLINGS: Final = phrases(
    _choices(
        "a_lot:alot absence:absense,abscence acceptable:acceptible accidentally:accidently accommodate:accomodate"
        " accommodation:accomodation accordingly:acordingly achieve:acheive acknowledge:acknowlege acquire:aquire"
        " acquired:aquired across:accross actually:actualy address:adress addressed:adressed addresses:adresses"
        " advertisement:advertisment advisable:adviseable afford:aford aggressive:agressive agreement:agreemant"
        " all_right:alright allowed:alowed amount:ammount annually:anually apartment:appartment,apartement"
        " apparent:apparant apparently:apparantly appearance:appearence application:aplication applied:aplied"
        " appointment:apointment appropriate:apropriate approximately:aproximately argument:arguement"
        " arguments:arguements assistance:assistence attached:attatched attendance:attendence audience:audiance"
        " available:availible,avaliable awkward:akward bankruptcy:bankrupcy basically:basicly beautiful:beautifull"
        " because:becuase,becasue before:befor beginning:begining behaviour:behavour behavior:behavor"
        " belief:beleif believe:beleive believed:beleived beneficial:benificial benefit:benifit"
        " benefits:benifits building:bulding business:buisness,bussiness businesses:buisnesses calendar:calender"
        " category:catagory certain:certian certificate:certificat circumstances:circumstanses colleague:collegue"
        " colleagues:collegues coming:comming commercial:comercial commission:comission commitment:committment"
        " committed:commited committee:commitee,comittee communicate:comunicate company:compnay"
        " competent:competant complaint:complant completely:completly concede:conceed condition:condtion"
        " conscience:concience conscious:concious consensus:concensus consequence:consequense"
        " consequences:consequenses convenient:convienient correspondence:correspondance could_have:could_of"
        " criticism:critisism currently:curently customer:costumer deceive:decieve decision:desicion"
        " decisions:desicions definite:definate definitely:definately,definitly department:departement"
        " dependent:dependant describe:discribe description:discription desperate:desparate develop:develope"
        " development:developement difference:diffrence different:diffrent,differant difficult:dificult"
        " disappear:dissapear disappoint:dissapoint disappointed:dissapointed discipline:disipline"
        " discussed:disscussed during:durring easily:easilly education:educaton efficient:eficient eligible:eligable"
        " eliminate:elliminate embarrass:embarass embarrassed:embarassed embarrassing:embarassing"
        " emergency:emergancy enforceable:enforcable enough:enuf,enought entirely:entirly"
        " environment:enviroment equipment:equiptment especially:especialy,expecially essential:essencial"
        " eventually:eventualy evidence:evidance exaggerate:exagerate excellent:excelent exercise:excercise"
        " existence:existance expense:expence expenses:expences expensive:expencive experience:experiance"
        " experienced:experianced explanation:explaination extremely:extremly familiar:familliar favourite:favorite"
        " finally:finaly financial:finacial foreign:foriegn forty:fourty forward:foward friend:freind"
        " friends:freinds fulfil:fullfil further:furthur generally:generaly genuine:genuin government:goverment"
        " grammar:grammer grateful:greatful guarantee:garantee,guarentee guaranteed:garanteed guard:gaurd"
        " guidance:guidence happened:happend harass:harrass harassed:harrassed harassment:harrassment height:heigth"
        " hospital:hosptial immediate:imediate immediately:immediatly,imediately important:importent"
        " in_fact:infact in_front:infront incidentally:incidently independent:independant independently:independantly"
        " information:infomation initially:initialy inquiry:enquirey insurance:insurence intelligence:inteligence"
        " intention:intension interest:intrest interested:intrested interesting:intresting interfere:interfear"
        " interrupt:interupt irrelevant:irrelevent issue:isue judgement:judgment,judgemant knowledge:knowlege,knowledg"
        " language:langauge leisure:liesure letter:leter liable:lible liaison:liason library:libary licence:lisence"
        " license:lisence likelihood:likelyhood likely:likley maintenance:maintenence,maintainance manager:manger"
        " management:managment manoeuvre:manouvre medical:medicle medicine:medecine message:mesage minute:minuit"
        " mischievous:mischievious mortgage:morgage,mortage naturally:naturaly necessarily:necessarly"
        " necessary:neccessary,necesary negotiate:negociate neighbour:nieghbour neighbor:nieghbor"
        " neighbours:nieghbours noticeable:noticable obviously:obviosly,obviouly occasion:occassion,ocasion"
        " occasionally:occasionaly occurred:occured,ocurred occurrence:occurence,occurance of_course:ofcourse"
        " official:offical officially:officialy omitted:ommited opinion:opinon opportunity:oppurtunity"
        " originally:origionally otherwise:other_wise paid:payed particular:particuler particularly:particulary"
        " payment:payement payments:payements people:poeple perceive:percieve permanent:permanant"
        " permission:permision perhaps:prehaps personally:personaly persuade:pursuade physical:phisical"
        " piece:peice pieces:peices pleasant:plesant possess:posess possession:posession possessions:posessions"
        " possible:posible possibly:possibley potential:potencial preferred:prefered presence:presance"
        " previous:previus previously:previosly privilege:priviledge,privelege probably:probly,probally"
        " problem:probelm problems:probelms procedure:proceedure professional:proffesional,profesional"
        " professor:proffesor promise:promis property:propery publicly:publically purchase:purchace"
        " purpose:porpose pursue:persue quality:qualtiy quantity:quantaty questionnaire:questionaire really:realy"
        " reason:reson reasonable:resonable receipt:reciept,receit receipts:reciepts receive:recieve"
        " received:recieved receiving:recieving recently:recentley recognise:reconise recognize:reconize"
        " recommend:reccomend,recomend recommended:reccomended reference:referance referred:refered"
        " regarding:reguarding relevant:relevent reliable:relyable relief:releif religious:religous remember:rember"
        " repeatedly:repeatedley repetition:repitition representative:representitive request:reqest require:requier"
        " required:requiered requirement:requirment resident:residant resistance:resistence resource:resourse"
        " responsibility:responsability responsible:responsable restaurant:restaraunt,resturant safety:saftey"
        " salary:sallary satisfied:satisfyed schedule:shedule secretary:secratary seize:sieze sentence:sentance"
        " separate:seperate separated:seperated separately:seperately separation:seperation serious:serius"
        " service:servise several:severel should_have:should_of shoulder:sholder significant:signifigant"
        " similar:similiar,similer sincerely:sincerly situation:sitution,situatuion situations:situtations"
        " something:somthing sometimes:somtimes special:speical specific:specifc specifically:specificly"
        " strength:strenght subscription:subcription substantial:substancial succeed:succede successful:succesful"
        " sufficient:suficient supposed:suposed suppose:supose surprise:suprise surprised:suprised survey:servay"
        " technical:tecnical temperature:temperture temporary:temporay,temporarly their:thier themselves:themselfs"
        " therefore:therefor together:togther tomorrow:tommorow,tommorrow tongue:tounge traffic:trafic"
        " transferred:transfered treatment:treatement truly:truely unable:unabel understand:undestand"
        " unfortunately:unfortunatly,unfortunetly until:untill usually:usualy vacuum:vaccum vehicle:vehical,vehicule"
        " vehicles:vehicals village:vilage visible:visable warning:waring weird:wierd welfare:wellfare"
        " which:wich whole:hole with_regard:with_reguard would_have:would_of writing:writting written:writen"
    )
)

SYNONYMS: Final = phrases(
    _pairs(
        """
begin, begins, began, beginning = start, starts, started, starting
inform, informs, informed, informing = notify, notifies, notified, notifying
look at, looks at, looked at, looking at = examine, examines, examined, examining
let me know = tell me
find out, finds out, found out, finding out = learn, learns, learned, learning
seems to, seem to, seemed to = appears to, appear to, appeared to
wants to, want to, wanted to = wishes to, wish to, wished to
big = large
quickly = fast
at first = initially
in the end = eventually
all the time = constantly
again and again = repeatedly
from time to time = now and then
a long time ago = long ago
around the clock = day and night
mostly = mainly
often = frequently
rarely = seldom
immediately = at once
right away = straight away
maybe = perhaps
obviously = clearly
completely = entirely
nearly = almost
anybody, everybody, somebody = anyone, everyone, someone
afterwards = after that
nowadays = these days
for instance = for example
as far as i know = to my knowledge
in my view = in my opinion
in order to = so as to
with regard to = with respect to
the majority of = most of
strange = odd
angry = furious
upset = annoyed
glad = happy
complicated = complex
mistake, mistakes = error, errors
answer, answers = reply, replies
buyer, buyers = purchaser, purchasers
journey, journeys = trip, trips
rubbish = garbage
holidays = vacations
mobile phone, mobile phones = cell phone, cell phones
children = kids
boss, bosses = manager, managers
firm, firms = company, companies
""",
        both_ways=True,
    )
    + _pairs(
        """
additional = extra
approximately = roughly
more or less = roughly
at the moment = right now
automobile, automobiles = car, cars
because of = due to
bought, buying = purchased, purchasing
carried out, carrying out = done, doing
chose, choosing = picked, picking
commonly = often
continues to, continued to = keeps on, kept on
correct = right
demolished, demolishing = torn down, tearing down
difficult = hard
discovered = found
discuss, discusses, discussed, discussing = talk about, talks about, talked about, talking about
entire = whole
enormous, huge = very large, very large
explained, explaining = spelled out, spelling out
fix, fixes, fixed, fixing = repair, repairs, repaired, repairing
furthermore, moreover = in addition, in addition
get in touch with, got in touch with = contact, contacted
got rid of, getting rid of = disposed of, disposing of
happened, happening = occurred, occurring
helped, helping = assisted, assisting
mentioned, mentioning = brought up, bringing up
necessary = needed
nevertheless, nonetheless = still, still
numerous = many
obtain, obtains, obtained, obtaining = get, gets, got, getting
photo, photos, photograph, photographs = picture, pictures, picture, pictures
probably = most likely
receive, receives, received, receiving = get, gets, got, getting
residence = home
reside, resides, resided, residing = live, lives, lived, living
shop, shops = store, stores
sufficient = enough
tiny = very small
tried to, trying to = attempted to, attempting to
vehicle, vehicles = car, cars
"""
    )
)

REGISTERS: Final = (
    phrases(
        _pairs(
            """
a lot of, lots of = a great deal of, a great deal of
as soon as possible = at the earliest opportunity
bought, buying = purchased, purchasing
enough = sufficient
fix, fixed = repair, repaired
get in touch = make contact
got rid of = disposed of
guess = suppose
kids, kid = children, child
let me know = inform me
live in, living in = reside in, residing in
mad at = angry with
okay, ok = acceptable, acceptable
really = very
right now = at present
said = stated
sort out, sorted out = resolve, resolved
stuff = items
talk to, talked to, talking to = speak with, spoke with, speaking with
thanks = thank you
"""
        )
    ),
    phrases(
        _pairs(
            """
a great deal of = loads of
approximately = around
as soon as possible = asap
assist, assistance = help, help
at present, at this point in time = right now, right now
attempted to = tried to
because = cause
children, child = kids, kid
consequently, therefore = so, so
currently = right now
do not know = dunno
due to the fact that = because
enquired = asked
father, mother = dad, mom
friend, friends = mate, mates
furthermore, moreover = also, also
give me, let me = gimme, lemme
however = but
immediately = right away
in order to = to
in the event that = if
informed = told
kind of = kinda
money = cash
nevertheless = still
numerous, several = lots of, a bunch of
obtain, obtained, obtaining = get, got, getting
people = folks
perhaps = maybe
please = pls
police officer, police officers, policeman = cop, cops, cop
prior to, subsequent to = before, after
probably = prob
purchased, purchasing = bought, buying
rather = pretty
regarding, concerning = about, about
repaired, resolved = fixed, sorted out
reside, resides, residing = live, lives, living
sufficient = enough
television = telly
terrible = awful
thank you = thx
unfortunately = sadly
upset = mad
very = really
with regard to, with respect to = about, about
"""
        )
    ),
)
"""To a more formal register, and to a less formal one."""

HOMOPHONES: Final = phrases(
    _choices(
        "affect:effect aloud:allowed already:all_ready bare:bear brake:break buy:by cereal:serial check:cheque"
        " cheque:check cite:site,sight complement:compliment compliment:complement dear:deer everyday:every_day"
        " fair:fare fare:fair find:fined flour:flower great:grate hear:here heard:herd here:hear hole:whole hour:our"
        " its:it's it's:its knew:new knows:nose led:lead lessen:lesson loan:lone mail:male maybe:may_be meat:meet"
        " meet:meat morning:mourning past:passed passed:past patience:patients peace:piece piece:peace plain:plane"
        " pole:poll principal:principle principle:principal quiet:quite right:write role:roll route:root sail:sale"
        " sale:sail scene:seen seen:scene sight:site site:sight some:sum stairs:stares stationary:stationery"
        " steal:steel suite:sweet tail:tale than:then their:there,they're then:than there:their they're:their"
        " threw:through to:too too:to towed:toad waist:waste wait:weight waste:waist way:weigh weak:week wear:where"
        " weather:whether weight:wait were:where where:wear which:witch who's:whose whose:who's"
        " wood:would would:wood write:right wrote:rote your:you're you're:your kind_of:kinda out_of:outta"
        " because:cause about:bout"
    )
)
FILLERS: Final = ("um", "uh", "er", "like", "you know", "I mean", "well", "so yeah", "kind of", "basically")

ABBREVIATIONS: Final = dict(
    _pairs(
        """
account, accounts = acct, accts
agreement, agreements = agmt, agmts
alternative dispute resolution = ADR
amount = amt
apartment, apartments = apt, apts
appointment, appointments = appt, appts
approximately = approx
as far as i know = AFAIK
as soon as possible = ASAP
association = assoc
attorney general = AG
attorney, attorneys = atty, attys
building = bldg
business = biz
by the way = btw
certificate = cert
chief executive officer = CEO
commission = comm
company = co
condition, conditions = cond, conds
corporation = corp
date of birth = DOB
defendant, defendants = deft, defts
department = dept
difference = diff
document, documents = doc, docs
end user licence agreement = EULA
end user license agreement = EULA
especially = esp
estate agent = EA
for example = eg
for your information = fyi
freedom of information = FOI
general data protection regulation = GDPR
government = govt
health and safety = H&S
homeowners association = HOA
human resources = HR
identification = ID
in my opinion = imo
including = incl
information = info
insurance = ins
intellectual property = IP
international = intl
landlord and tenant = L&T
laboratory = lab
limited liability company = LLC
maintenance = maint
management = mgmt
manager = mgr
maximum = max
minimum = min
no problem = np
non-disclosure agreement = NDA
operating system = OS
organisation, organization = org, org
paragraph = para
personal injury = PI
photograph, photographs = photo, photos
plaintiff, plaintiffs = pltf, pltfs
please = pls
power of attorney = POA
private message = PM
professor = prof
question, questions = q, qs
received = recd
reference = ref
registration = reg
representative, representatives = rep, reps
schedule = sched
section = sec
secretary = sec
small and medium enterprises = SMEs
social security number = SSN
something = sth
statute of limitations = SOL
temperature = temp
temporary = temp
terms and conditions = T&C
terms of service = ToS
terms of use = ToU
to be honest = tbh
university = uni
value added tax = VAT
vehicle = veh
versus = vs
with = w/
without prejudice = WP
with regard to = re
with respect to = wrt
year, years = yr, yrs
"""
    )
)
