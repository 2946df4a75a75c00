"""The words of the built-in grammar, one meaning a row, with the forms that agreement needs in each language.

Columns are separated by "|", forms by spaces, in the order of `LANGUAGES`; "_" stands for a space within a form.
"""

# ruff: noqa: E501 (a table row stays on its line)

from dataclasses import dataclass

LANGUAGES = ("en", "de", "fr", "ro", "cs")

# kind | en: singular plural | de: gender nominative accusative plural | fr: gender singular plural
#      | ro: gender singular plural definite-singular definite-plural
#      | cs: gender nominative accusative nominative-plural accusative-plural
# Czech genders: ma animate, mi inanimate masculine, f, n; nf is neuter in the singular and feminine in the plural.
_NOUNS = """
person | man men | m Mann Mann Männer | m homme hommes | m bărbat bărbați bărbatul bărbații | ma muž muže muži muže
person | woman women | f Frau Frau Frauen | f femme femmes | f femeie femei femeia femeile | f žena ženu ženy ženy
person | child children | n Kind Kind Kinder | m enfant enfants | m copil copii copilul copiii | nf dítě dítě děti děti
person | girl girls | n Mädchen Mädchen Mädchen | f fille filles | f fată fete fata fetele | f dívka dívku dívky dívky
person | boy boys | m Junge Jungen Jungen | m garçon garçons | m băiat băieți băiatul băieții | ma kluk kluka kluci kluky
person | teacher teachers | m Lehrer Lehrer Lehrer | m professeur professeurs | m profesor profesori profesorul profesorii | ma učitel učitele učitelé učitele
person | doctor doctors | m Arzt Arzt Ärzte | m médecin médecins | m medic medici medicul medicii | ma lékař lékaře lékaři lékaře
person | farmer farmers | m Bauer Bauern Bauern | m fermier fermiers | m fermier fermieri fermierul fermierii | ma farmář farmáře farmáři farmáře
person | student students | m Student Studenten Studenten | m étudiant étudiants | m student studenți studentul studenții | ma student studenta studenti studenty
person | friend friends | m Freund Freund Freunde | m ami amis | m prieten prieteni prietenul prietenii | ma přítel přítele přátelé přátele
person | sister sisters | f Schwester Schwester Schwestern | f sœur sœurs | f soră surori sora surorile | f sestra sestru sestry sestry
person | brother brothers | m Bruder Bruder Brüder | m frère frères | m frate frați fratele frații | ma bratr bratra bratři bratry
person | grandmother grandmothers | f Großmutter Großmutter Großmütter | f grand-mère grands-mères | f bunică bunici bunica bunicile | f babička babičku babičky babičky
person | singer singers | m Sänger Sänger Sänger | m chanteur chanteurs | m cântăreț cântăreți cântărețul cântăreții | ma zpěvák zpěváka zpěváci zpěváky
person | neighbour neighbours | m Nachbar Nachbarn Nachbarn | m voisin voisins | m vecin vecini vecinul vecinii | ma soused souseda sousedé sousedy
animal | dog dogs | m Hund Hund Hunde | m chien chiens | m câine câini câinele câinii | ma pes psa psi psy
animal | cat cats | f Katze Katze Katzen | m chat chats | f pisică pisici pisica pisicile | f kočka kočku kočky kočky
animal | horse horses | n Pferd Pferd Pferde | m cheval chevaux | m cal cai calul caii | ma kůň koně koně koně
animal | bird birds | m Vogel Vogel Vögel | m oiseau oiseaux | f pasăre păsări pasărea păsările | ma pták ptáka ptáci ptáky
animal | cow cows | f Kuh Kuh Kühe | f vache vaches | f vacă vaci vaca vacile | f kráva krávu krávy krávy
animal | mouse mice | f Maus Maus Mäuse | f souris souris | m șoarece șoareci șoarecele șoarecii | f myš myš myši myši
animal | bear bears | m Bär Bären Bären | m ours ours | m urs urși ursul urșii | ma medvěd medvěda medvědi medvědy
thing | book books | n Buch Buch Bücher | m livre livres | f carte cărți cartea cărțile | f kniha knihu knihy knihy
thing | letter letters | m Brief Brief Briefe | f lettre lettres | f scrisoare scrisori scrisoarea scrisorile | mi dopis dopis dopisy dopisy
thing | house houses | n Haus Haus Häuser | f maison maisons | f casă case casa casele | mi dům dům domy domy
thing | car cars | n Auto Auto Autos | f voiture voitures | f mașină mașini mașina mașinile | n auto auto auta auta
thing | bicycle bicycles | n Fahrrad Fahrrad Fahrräder | m vélo vélos | f bicicletă biciclete bicicleta bicicletele | n kolo kolo kola kola
thing | apple apples | m Apfel Apfel Äpfel | f pomme pommes | n măr mere mărul merele | n jablko jablko jablka jablka
thing | flower flowers | f Blume Blume Blumen | f fleur fleurs | f floare flori floarea florile | f květina květinu květiny květiny
thing | window windows | n Fenster Fenster Fenster | f fenêtre fenêtres | f fereastră ferestre fereastra ferestrele | n okno okno okna okna
thing | table tables | m Tisch Tisch Tische | f table tables | f masă mese masa mesele | mi stůl stůl stoly stoly
thing | chair chairs | m Stuhl Stuhl Stühle | f chaise chaises | n scaun scaune scaunul scaunele | f židle židli židle židle
thing | key keys | m Schlüssel Schlüssel Schlüssel | f clé clés | f cheie chei cheia cheile | mi klíč klíč klíče klíče
thing | painting paintings | n Gemälde Gemälde Gemälde | m tableau tableaux | n tablou tablouri tabloul tablourile | mi obraz obraz obrazy obrazy
thing | hat hats | m Hut Hut Hüte | m chapeau chapeaux | f pălărie pălării pălăria pălăriile | mi klobouk klobouk klobouky klobouky
thing | bag bags | f Tasche Tasche Taschen | m sac sacs | f geantă genți geanta gențile | f taška tašku tašky tašky
thing | coat coats | m Mantel Mantel Mäntel | m manteau manteaux | n palton paltoane paltonul paltoanele | mi kabát kabát kabáty kabáty
thing | tree trees | m Baum Baum Bäume | m arbre arbres | m copac copaci copacul copacii | mi strom strom stromy stromy
thing | boat boats | n Boot Boot Boote | m bateau bateaux | f barcă bărci barca bărcile | f loď loď lodě lodě
thing | guitar guitars | f Gitarre Gitarre Gitarren | f guitare guitares | f chitară chitare chitara chitarele | f kytara kytaru kytary kytary
"""

# kinds it suits | en | de: stem predicative | fr: before/after, masculine, masculine before a vowel, feminine,
#      masculine plural, feminine plural | ro: masculine feminine masculine-plural feminine-plural
#      | cs: masculine animate-plural
_ADJECTIVES = """
person,animal | old | alt alt | before vieux vieil vieille vieux vieilles | bătrân bătrână bătrâni bătrâne | starý staří
person,animal | young | jung jung | before jeune jeune jeune jeunes jeunes | tânăr tânără tineri tinere | mladý mladí
person,animal,thing | small | klein klein | before petit petit petite petits petites | mic mică mici mici | malý malí
person,animal,thing | big | groß groß | before grand grand grande grands grandes | mare mare mari mari | velký velcí
person,animal,thing | beautiful | schön schön | before beau bel belle beaux belles | frumos frumoasă frumoși frumoase | krásný krásní
person,animal | tired | müd müde | after fatigué fatigué fatiguée fatigués fatiguées | obosit obosită obosiți obosite | unavený unavení
person,animal | hungry | hungrig hungrig | after affamé affamé affamée affamés affamées | flămând flămândă flămânzi flămânde | hladový hladoví
person,animal | happy | glücklich glücklich | after heureux heureux heureuse heureux heureuses | fericit fericită fericiți fericite | šťastný šťastní
person,animal | sad | traurig traurig | after triste triste triste tristes tristes | trist tristă triști triste | smutný smutní
person,animal | strong | stark stark | after fort fort forte forts fortes | puternic puternică puternici puternice | silný silní
person,animal | sick | krank krank | after malade malade malade malades malades | bolnav bolnavă bolnavi bolnave | nemocný nemocní
person | famous | berühmt berühmt | after célèbre célèbre célèbre célèbres célèbres | faimos faimoasă faimoși faimoase | slavný slavní
animal,thing | black | schwarz schwarz | after noir noir noire noirs noires | negru neagră negri negre | černý černí
animal,thing | white | weiß weiß | after blanc blanc blanche blancs blanches | alb albă albi albe | bílý bílí
thing | new | neu neu | before nouveau nouvel nouvelle nouveaux nouvelles | nou nouă noi noi | nový noví
thing | red | rot rot | after rouge rouge rouge rouges rouges | roșu roșie roșii roșii | červený červení
thing | green | grün grün | after vert vert verte verts vertes | verde verde verzi verzi | zelený zelení
thing | blue | blau blau | after bleu bleu bleue bleus bleues | albastru albastră albaștri albastre | modrý modří
thing | clean | sauber sauber | after propre propre propre propres propres | curat curată curați curate | čistý čistí
thing | heavy | schwer schwer | after lourd lourd lourde lourds lourdes | greu grea grei grele | těžký těžcí
"""

# kinds of subject | kinds or nouns of object, "-" for none | singular and plural, third person present, per language
_VERBS = """
person,animal | - | sleeps sleep | schläft schlafen | dort dorment | doarme dorm | spí spí
person,animal | - | runs run | rennt rennen | court courent | aleargă aleargă | běží běží
person,animal | - | waits wait | wartet warten | attend attendent | așteaptă așteaptă | čeká čekají
person,animal | - | swims swim | schwimmt schwimmen | nage nagent | înoată înoată | plave plavou
person,animal | - | eats eat | isst essen | mange mangent | mănâncă mănâncă | jí jedí
person,animal | - | drinks drink | trinkt trinken | boit boivent | bea beau | pije pijí
person | - | sings sing | singt singen | chante chantent | cântă cântă | zpívá zpívají
person | - | dances dance | tanzt tanzen | danse dansent | dansează dansează | tančí tančí
person | - | works work | arbeitet arbeiten | travaille travaillent | lucrează lucrează | pracuje pracují
person | - | reads read | liest lesen | lit lisent | citește citesc | čte čtou
person | - | writes write | schreibt schreiben | écrit écrivent | scrie scriu | píše píšou
person | - | cooks cook | kocht kochen | cuisine cuisinent | gătește gătesc | vaří vaří
person,animal | animal,thing | sees see | sieht sehen | voit voient | vede văd | vidí vidí
person,animal | animal,thing | finds find | findet finden | trouve trouvent | găsește găsesc | nachází nacházejí
person,animal | animal | hears hear | hört hören | entend entendent | aude aud | slyší slyší
person,animal | apple | eats eat | isst essen | mange mangent | mănâncă mănâncă | jí jedí
person | animal,thing | buys buy | kauft kaufen | achète achètent | cumpără cumpără | kupuje kupují
person | animal,thing | sells sell | verkauft verkaufen | vend vendent | vinde vând | prodává prodávají
person | animal,thing | paints paint | malt malen | peint peignent | pictează pictează | maluje malují
person | animal,thing | draws draw | zeichnet zeichnen | dessine dessinent | desenează desenează | kreslí kreslí
person | animal,thing | photographs photograph | fotografiert fotografieren | photographie photographient | fotografiază fotografiază | fotografuje fotografují
person | animal | loves love | liebt lieben | aime aiment | iubește iubesc | miluje milují
person | animal | watches watch | beobachtet beobachten | observe observent | observă observă | pozoruje pozorují
person | book,letter,bag,chair,flower,hat,key,coat,apple,guitar,painting | carries carry | trägt tragen | porte portent | duce duc | nese nesou
person | book,letter | reads read | liest lesen | lit lisent | citește citesc | čte čtou
person | book,letter | writes write | schreibt schreiben | écrit écrivent | scrie scriu | píše píšou
person | car,window,table,coat,bag,apple,bicycle | washes wash | wäscht waschen | lave lavent | spală spală | myje myjí
person | car,bicycle,chair,boat,window,table,house,guitar | repairs repair | repariert reparieren | répare réparent | repară repară | opravuje opravují
"""

# One phrase per language; {n} becomes a number between the two given first.
_PLACES = """
0 0 | in_the_park | im_Park | dans_le_parc | în_parc | v_parku
0 0 | in_the_garden | im_Garten | dans_le_jardin | în_grădină | v_zahradě
0 0 | in_the_kitchen | in_der_Küche | dans_la_cuisine | în_bucătărie | v_kuchyni
0 0 | in_the_city | in_der_Stadt | dans_la_ville | în_oraș | ve_městě
0 0 | in_the_village | im_Dorf | dans_le_village | în_sat | ve_vesnici
0 0 | on_the_beach | am_Strand | sur_la_plage | pe_plajă | na_pláži
0 0 | at_school | in_der_Schule | à_l'école | la_școală | ve_škole
0 0 | at_home | zu_Hause | à_la_maison | acasă | doma
0 0 | at_the_station | am_Bahnhof | à_la_gare | la_gară | na_nádraží
0 0 | in_the_forest | im_Wald | dans_la_forêt | în_pădure | v_lese
0 0 | on_the_street | auf_der_Straße | dans_la_rue | pe_stradă | na_ulici
0 0 | at_the_market | auf_dem_Markt | au_marché | la_piață | na_trhu
0 0 | in_front_of_the_church | vor_der_Kirche | devant_l'église | în_fața_bisericii | před_kostelem
0 0 | behind_the_house | hinter_dem_Haus | derrière_la_maison | în_spatele_casei | za_domem
0 0 | under_the_bridge | unter_der_Brücke | sous_le_pont | sub_pod | pod_mostem
0 0 | by_the_lake | am_See | au_bord_du_lac | lângă_lac | u_jezera
1 999 | in_room_{n} | in_Zimmer_{n} | dans_la_chambre_{n} | în_camera_{n} | v_pokoji_{n}
"""
_TIMES = """
0 0 | today | heute | aujourd'hui | astăzi | dnes
0 0 | now | jetzt | maintenant | acum | teď
0 0 | in_the_morning | am_Morgen | le_matin | dimineața | ráno
0 0 | in_the_evening | am_Abend | le_soir | seara | večer
0 0 | at_night | in_der_Nacht | la_nuit | noaptea | v_noci
0 0 | every_day | jeden_Tag | tous_les_jours | în_fiecare_zi | každý_den
0 0 | on_Monday | am_Montag | lundi | luni | v_pondělí
0 0 | on_Friday | am_Freitag | vendredi | vineri | v_pátek
0 0 | on_Sunday | am_Sonntag | dimanche | duminică | v_neděli
0 0 | in_summer | im_Sommer | en_été | vara | v_létě
0 0 | in_winter | im_Winter | en_hiver | iarna | v_zimě
5 12 | at_{n}_o'clock | um_{n}_Uhr | à_{n}_heures | la_ora_{n} | v_{n}_hodin
"""
_EXTRAS = """
0 0 | with_a_hat | mit_einem_Hut | avec_un_chapeau | cu_pălărie | s_kloboukem
0 0 | with_glasses | mit_Brille | avec_des_lunettes | cu_ochelari | s_brýlemi
0 0 | with_an_umbrella | mit_einem_Regenschirm | avec_un_parapluie | cu_o_umbrelă | s_deštníkem
0 0 | with_a_big_bag | mit_einer_großen_Tasche | avec_un_grand_sac | cu_o_geantă_mare | s_velkou_taškou
0 0 | with_a_red_scarf | mit_einem_roten_Schal | avec_une_écharpe_rouge | cu_un_fular_roșu | s_červenou_šálou
0 0 | with_a_guitar | mit_einer_Gitarre | avec_une_guitare | cu_o_chitară | s_kytarou
"""


@dataclass(frozen=True)
class Word:
    """One meaning: what it goes with, and its forms in each language."""

    kinds: frozenset[str]
    forms: dict[str, tuple[str, ...]]
    objects: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Phrase:
    """A fixed phrase in each language, with a number between `low` and `high` where it has room for one."""

    low: int
    high: int
    texts: dict[str, str]


def _rows(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")] for line in table.strip().split("\n")]


def _forms(cells: list[str]) -> dict[str, tuple[str, ...]]:
    return {language: tuple(cell.split()) for language, cell in zip(LANGUAGES, cells, strict=True)}


def _words(table: str) -> list[Word]:
    return [Word(frozenset(row[0].split(",")), _forms(row[1:])) for row in _rows(table)]


def _phrases(table: str) -> list[Phrase]:
    phrases = []
    for row in _rows(table):
        low, high = map(int, row[0].split())
        texts = {language: cell.replace("_", " ") for language, cell in zip(LANGUAGES, row[1:], strict=True)}
        phrases.append(Phrase(low, high, texts))
    return phrases


NOUNS = _words(_NOUNS)
ADJECTIVES = _words(_ADJECTIVES)
VERBS = [Word(frozenset(row[0].split(",")), _forms(row[2:]), frozenset(row[1].split(","))) for row in _rows(_VERBS)]
PLACES, TIMES, EXTRAS = _phrases(_PLACES), _phrases(_TIMES), _phrases(_EXTRAS)
