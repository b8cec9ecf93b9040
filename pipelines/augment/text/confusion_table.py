"""What people and scanners take one word or letter for. Written from common knowledge.

Homophones are words that sound alike or are often mixed up; a word is taken for any other of its
group. Misspellings are common errors, most of them by a rule: a double letter lost or gained,
"ie" and "ei" exchanged, an unstressed vowel mistaken, two words written as one.
"""

from __future__ import annotations

HOMOPHONES: tuple[tuple[str, ...], ...] = tuple(
    tuple(group.split())
    for group in """
    their there they're | your you're | its it's | whose who's | then than | to too two |
    were where we're | here hear | accept except | affect effect | advice advise | aisle isle |
    aloud allowed altar alter | ate eight | bare bear | base bass | beat beet | been bean |
    bite byte | blew blue board bored | brake break | buy by bye | capital capitol |
    ceiling sealing | cell sell cent scent sent | cereal serial | cite sight site |
    coarse course | complement compliment council counsel | dear deer | desert dessert | die dye
    | discreet discrete | dual duel fair fare | feat feet | find fined | flour flower |
    for four fore | forth fourth | gait gate genes jeans | great grate | grown groan |
    guessed guest | hair hare | hall haul | heal heel he'll heel | herd heard | higher hire |
    him hymn | hole whole | hour our | idle idol | in inn knew new | knight night | lead led |
    lessen lesson | loan lone | loose lose | made maid mail male | main mane | meat meet |
    medal meddle | might mite | miner minor | moose mousse morning mourning | muscle mussel |
    oar ore | one won | pail pale | pain pane | pair pear passed past | patience patients |
    pause paws | peace piece | peak peek | peer pier | plain plane pole poll | poor pour |
    pray prey | presence presents | principal principle | profit prophet quiet quite |
    rain reign rein | raise rays | read red | real reel | right write rite ring wring |
    road rode rowed | role roll | root route | rose rows | sail sale | scene seen |
    sea see seam seem | sew so sow | shear sheer | shoot chute | side sighed | soar sore |
    sole soul some sum | son sun | stair stare | stake steak | stationary stationery |
    steal steel storey story | straight strait | suite sweet | sword soared | tail tale |
    taught taut | tea tee team teem | tear tier | threw through | throne thrown | thyme time |
    tide tied | toe tow vain vein | vary very | waist waste | wait weight | war wore | ware wear
    | warn worn way weigh | weak week | weather whether | which witch | while wile | wood would
    | yoke yolk lightning lightening breath breathe | cloth clothes | conscience conscious |
    device devise | moral morale personal personnel | precede proceed | prophecy prophesy |
    sense since | though thought adapt adopt | bought brought | casual causal | collage college
    | costume custom | decent descent eminent imminent | elicit illicit | envelop envelope |
    formally formerly | human humane later latter | liable libel | perspective prospective |
    prescribe proscribe | statue statute
    """.replace("\n", " ").split("|")
)

MISSPELLINGS: dict[str, tuple[str, ...]] = {
    word: tuple(variants.split(","))
    for word, variants in (
        entry.split(":")
        for entry in """
    absence:absense,abscence acceptable:acceptible accidentally:accidently
    accommodate:accomodate achieve:acheive achievement:acheivement acquire:aquire across:accross
    actually:actualy,acctually address:adress aggressive:agressive almost:allmost
    already:allready although:altho,allthough always:allways amateur:amature
    amazing:amasing,amazeing among:amoung annoying:anoying apparent:apparant,aparent
    apparently:apparantly appearance:appearence argument:arguement
    atmosphere:atmosphear,athmosphere attempt:atempt audience:audiance authentic:authentik
    awful:awfull,aweful awkward:akward basically:basicly,basicaly beautiful:beautifull,beutiful
    because:becuase,becouse,becasue beginning:begining behaviour:behavour believable:believeable
    believe:beleive believed:beleived boring:borring brilliant:briliant,brillant budget:buget
    business:buisness,bussiness careful:carefull carefully:carefuly category:catagory
    certain:certian certainly:certainley character:charactor,charcter
    characters:charactors,charcters cinematography:cinematograpy,cinamatography
    climactic:climatic colleague:collegue comedy:commedy coming:comming committed:commited
    completely:completly,completley conscious:concious consistent:consistant
    convincing:convinsing criticism:critisism curiosity:curiousity dealt:delt decision:descision
    definite:definate definitely:definately,definatly description:discription
    desperate:desparate develop:develope development:developement dialogue:dialoge,dialouge
    different:diffrent,diferent director:directer disappear:dissapear disappoint:dissapoint
    disappointed:dissapointed,disapointed disappointing:dissapointing
    disappointment:dissapointment disastrous:disasterous easily:easely effect:efect
    embarrass:embarass embarrassing:embarassing,embarrasing enjoyable:enjoyible,enjoiable
    enough:enought,enuf entertaining:entertaning entertainment:entertainement
    environment:enviroment especially:especialy,expecially everything:everthing
    exaggerate:exagerate excellent:excellant,exellent except:exept exciting:exiting
    existence:existance expect:exspect experience:experiance,expirience
    extremely:extremly,extreamly familiar:familar fascinating:facinating,fasinating
    favorite:favourit,favrite favourite:favourit february:febuary finally:finaly,finnaly
    foreign:foriegn,foreing fortunately:fortunatly friend:freind friends:freinds fulfil:fullfil
    funny:funy,funney further:futher generally:generaly genius:genious genre:genere,gener
    gorgeous:gorgous government:goverment grammar:grammer grateful:greatful guarantee:garantee
    guard:gaurd happened:happend height:heighth,hieght heroes:heros
    hilarious:hilarous,hillarious horrible:horible,horrable humorous:humourous humour:humer
    imagination:imagenation immediately:immediatly,imediately important:importent
    incredible:incredable incredibly:incredably,incredibley independent:independant
    intelligent:inteligent interest:intrest interested:intrested
    interesting:intresting,intersting interrupt:interupt irrelevant:irrelevent
    knowledge:knowlege,knowledege laughable:laughible liaison:liason library:libary
    literally:litterally,literaly lying:lieing maintenance:maintainance maybe:mabye,maby
    mediocre:mediocer memorable:memorible millennium:millenium minute:minuite
    mischievous:mischevious moment:momment movie:moive,movei movies:moives mysterious:misterious
    narrative:narritive necessary:neccessary,necesary noticeable:noticable obvious:obvius
    obviously:obviosly,obvously occasion:ocassion,occassion occasionally:occasionaly
    occurred:occured occurrence:occurence opinion:oppinion opportunity:oppurtunity,oportunity
    original:orginal,origional overall:overal parallel:paralel particular:particuler
    particularly:particularily people:poeple,peple perform:preform
    performance:preformance,performence performances:preformances perhaps:prehaps
    persistent:persistant personally:personaly piece:peice pieces:peices pleasant:plesant
    poignant:poingant portray:potray portrayed:potrayed possession:posession possible:posible
    predictable:predictible prejudice:predjudice preferred:prefered pretentious:pretencious
    pretty:prety probably:probaly,probly psychological:phsychological publicly:publically
    quality:qualty really:realy,reely receive:recieve received:recieved recognise:reconise
    recognize:reconize recommend:reccomend,recomend recommended:reccomended,recomended
    relevant:relevent religious:religous remember:rember,remeber repetitive:repetative
    repetition:repitition restaurant:restaraunt rhythm:rythm,rythem
    ridiculous:rediculous,ridiculus romantic:romatic scary:scarey scene:sceen schedule:schedual
    script:scrip sequel:sequal separate:seperate sequence:sequense serious:serius
    similar:similiar,simular sincerely:sincerly soldier:soilder soldiers:soilders
    special:speical speech:speach strength:strenght stories:storys studio:studeo stupid:stuppid
    subtle:suttle succeed:suceed successful:succesful,sucessful supposed:suposed
    surprise:suprise surprised:suprised surprising:suprising surprisingly:suprisingly
    suspense:suspence suspenseful:suspensefull talented:tallented television:televison
    terrible:terible,terrable terrific:teriffic theatre:theatr themselves:themselfs
    therefore:therefor thoroughly:throughly though:tho thought:thougth through:thru
    tomorrow:tommorow,tommorrow tongue:tounge tragedy:tradgedy tried:tryed truly:truely
    typical:tipical unbelievable:unbelievible,unbeleivable
    unfortunately:unfortunatly,unfortunatley unforgettable:unforgetable unique:uneek
    until:untill usually:usualy vacuum:vaccum villain:villian villains:villians
    violence:violense watching:waching,watchin weird:wierd whether:wether
    wonderful:wonderfull,wonderfol writer:writter writing:writting writers:writters
    written:writen,writtin yield:yeild
    """.split()
    )
}

KEYBOARD_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
"""Letters of a QWERTY keyboard; each row is shifted by half a key against the one above."""

OCR: tuple[tuple[str, str], ...] = (
    ("rn", "m"),
    ("m", "rn"),
    ("cl", "d"),
    ("d", "cl"),
    ("vv", "w"),
    ("w", "vv"),
    ("li", "h"),
    ("l", "1"),
    ("i", "l"),
    ("o", "0"),
    ("e", "c"),
    ("c", "e"),
    ("h", "b"),
    ("g", "q"),
    ("u", "ii"),
    ("t", "f"),
    ("ff", "f"),
    ("tt", "it"),
    ("O", "0"),
    ("I", "l"),
    ("S", "5"),
    ("B", "8"),
    ("Z", "2"),
    ("G", "6"),
)
"""Printed shape -> what a scanner reads instead."""
