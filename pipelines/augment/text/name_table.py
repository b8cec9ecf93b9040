"""Names of people and places that ``entity_swap`` knows. Common names, facts free for anybody.

Given names put in place of others suit any person, so that the pronouns of a text stay right.
Words that are also ordinary English words ("Will", "Rose", "Bill") are listed apart.
"""

from __future__ import annotations

GIVEN = frozenset(
    """
    Aaron Abigail Adam Agnes Alan Albert Alexander Alfred Alice Alison Amanda Amy Andrea Andrew
    Andy Angela Ann Anna Anne Annie Anthony Antonio Arnold Arthur Audrey Barbara Barry Beatrice Ben
    Benjamin Bernard Beth Betty Beverly Billy Bob Bobby Boris Brad Brandon Brenda Brian Bridget
    Bruce Bryan Carl Carlos Carmen Carol Caroline Catherine Cathy Cecil Charles Charlie Charlotte
    Christian Christina Christine Christopher Cindy Claire Clara Claude Claudia Clive Colin Craig
    Cynthia Dan Daniel Danny Dave David Deborah Debra Denis Dennis Denise Derek Diana Diane
    Dolores Don Donald Donna Doris Dorothy Doug Douglas Duncan Dustin Dylan Eddie Edgar Edith
    Edmund Edward Edwin Eileen Elaine Eleanor Elizabeth Ellen Elsie Emily Emma Eric Erica Ernest
    Esther Ethan Ethel Eugene Eva Evelyn Federico Felix Fiona Florence Francesca Francis
    Francisco Franklin Fred Frederick Gary Gavin Geoffrey George Gerald Gerard Gilbert Gina
    Giovanni Glenn Gloria Gordon Greg Gregory Greta Guillermo Hannah Harold Harriet Harrison Harry
    Hector Heather Helen Henry Herbert Herman Hilda Howard Hugh Hugo Humphrey Ian Ida Ingrid
    Irene Isaac Isabel Isabella Ivan Jackie Jacob Jacqueline Jake James Jane Janet Janice Jason
    Jeff Jeffrey Jennifer Jenny Jeremy Jerome Jerry Jessica Jill Jim Jimmy Joan Joanna Joe Joel John
    Johnny Jonathan Jose Joseph Joshua Joyce Juan Judith Judy Julia Julian Julie Juliet Justin
    Karen Karl Kate Katharine Katherine Kathleen Kathy Katie Keith Ken Kenneth Kevin Kirsten Klaus
    Kurt Kyle Larry Laura Lauren Laurence Lawrence Leo Leon Leonard Leonardo Lewis Liam Linda Lisa
    Lois Lorraine Louis Louise Lucas Lucille Lucy Luis Luke Lydia Maggie Malcolm Manuel Marcel
    Marcus Margaret Maria Marian Marie Marilyn Mario Marion Marlon Martha Martin Mary Matt Matthew
    Maureen Maurice Megan Melanie Melissa Michael Michelle Miguel Mike Mildred Miriam Molly Monica
    Nancy Natalie Nathan Neil Nicholas Nicole Nigel Nina Nora Norma Norman Olga Oliver Olivia
    Oscar Otto Owen Pamela Patricia Patrick Patsy Paul Paula Pauline Pedro Peggy Penelope Peter
    Philip Phillip Phyllis Rachel Ralph Raymond Rebecca Reginald Renee Richard Rita Robert Roberto
    Rodney Roger Roland Roman Ron Ronald Rosemary Roy Rudolf Rupert Russell Ruth Ryan Sally
    Samantha Samuel Sandra Sara Sarah Scott Sean Sebastian Sergei Seth Sharon Sheila Sheryl Shirley
    Sidney Simon Sophia Sophie Stanley Stefan Stella Stephanie Stephen Steve Steven Stuart Susan
    Suzanne Sylvia Tamara Ted Teresa Theodore Theresa Thomas Tim Timothy Tina Todd Tom Tommy Tony
    Trevor Ursula Valerie Vanessa Vera Veronica Victor Victoria Vincent Vivian Walter Wanda Warren
    Wayne Wendy Wesley Wilfred William Winifred Winona Woody Yvonne Zachary
    """.split()
)
AMBIGUOUS_GIVEN = frozenset(
    """
    Angel Art Autumn Bill Buck Chase Chip Christian Chuck Crystal Daisy Dawn Dean Dick Drew Earl
    Faith Frank Gene Grace Grant Guy Hank Holly Hope Iris Ivy Jack Jasmine Jean Jewel Joy June Lance
    Lily Mark Max Matt May Mel Miles Nick Olive Opal Pearl Penny Pierce Ray Rich Rob Rocky Roman
    Rose Ruby Rusty Sandy Sue Summer Violet Ward Will
    """.split()
)

NEUTRAL = tuple(
    """
    Addison Adrian Alex Ali Andie Arden Ariel Ashley Aubrey Avery Bailey Billie Blair Blake
    Brett Cameron Campbell Carey Casey Charlie Chris Corey Courtney Dakota Dale Dana Darcy Devon
    Drew Eden Elliot Emerson Evelyn Finley Frances Frankie Gale Glen Hayden Hilary Jackie Jaime
    Jamie Jan Jesse Jo Jody Jordan Jules Kai Keely Kelly Kelsey Kendall Kerry Kim Kit Lee Lane
    Leslie Lindsay Logan Loren Lou Mackenzie Marley Meredith Micah Morgan Nicky Noel Parker Pat
    Peyton Quinn Reese Regan Rene Riley Robbie Robin Rowan Sacha Sam Sasha Shannon Shelby Sidney
    Skyler Stacey Tatum Taylor Terry Toby Tracy Val Whitney
    """.split()
)

SURNAMES = tuple(
    """
    Abbott Adams Aldridge Allen Anderson Andrews Archer Armstrong Atkinson Austin Ayers Bailey
    Baldwin Barlow Barnes Barrett Bates Baxter Benson Bennett Bentley Bishop Blackwell Bowen Boyd
    Bradley Brady Brennan Bridges Briggs Brooks Bryant Buckley Burgess Burke Burnett Burton Byrne
    Calhoun Callahan Campbell Carlson Carpenter Carr Carroll Carson Carter Chambers Chapman Clark
    Clayton Coleman Collins Connolly Conway Cooper Cox Crawford Cunningham Curtis Dalton Daniels
    Davidson Davies Dawson Dempsey Dixon Donovan Douglas Doyle Drake Duncan Dunn Eastman Eaton
    Edwards Elliott Ellis Emerson Evans Farrell Ferguson Finch Fisher Fitzgerald Fleming Fletcher
    Flynn Foster Fowler Fraser Freeman Fuller Gallagher Gardner Garrett Gibbs Gibson Gilbert Gill
    Goodwin Gordon Graham Greenwood Gregory Griffin Griffith Hamilton Hammond Hansen Harding
    Harper Harris Harrison Hart Harvey Hawkins Hayes Henderson Henson Hewitt Hoffman Holland Holmes
    Hopkins Howard Hudson Hughes Hunter Ingram Irwin Jackson Jacobs Jameson Jarvis Jenkins Jennings
    Johnson Jordan Keller Kennedy Kerr Knight Lambert Larson Lawson Leonard Lindsey Lloyd Logan Lowe
    Lynch MacDonald Maddox Malone Manning Marshall Mason Matthews Maxwell McCarthy McCoy McKenzie
    Mercer Meyer Milton Mitchell Montgomery Moran Morgan Morris Morrison Mueller Murphy Murray Nash
    Nelson Newman Newton Nichols Nolan Norris Norton Olsen Osborne Owens Palmer Parker Parsons
    Patterson Payne Perkins Peters Peterson Phillips Pratt Preston Quigley Ramsey Randall Reeves
    Reynolds Richards Richardson Riley Roberts Robinson Rogers Rowland Russell Sanders Sawyer
    Schmidt Sheridan Shaw Simmons Simpson Sinclair Spencer Stevens Stewart Sullivan Sutton Tanner
    Taylor Thatcher Thompson Thornton Tucker Turner Tyler Underwood Vaughan Vincent Wagner Wallace
    Walsh Warner Watkins Watson Weaver Webster Wheeler Whitaker Wilkins Wilkinson Williams
    Williamson Wilson Winslow Woodward Wright Wyatt Yates
    """.split()
)

CITIES = tuple(
    """
    Aberdeen Adelaide Amsterdam Antwerp Athens Atlanta Auckland Baltimore Bangkok Barcelona Basel
    Beijing Belfast Belgrade Bergen Berlin Birmingham Bombay Bonn Boston Brighton Brisbane Bristol
    Brussels Bucharest Budapest Cairo Calcutta Calgary Cardiff Chicago Cincinnati Cleveland Cologne
    Copenhagen Dallas Delhi Denver Detroit Dresden Dublin Edinburgh Frankfurt Geneva Glasgow
    Gothenburg Hamburg Hanoi Helsinki Istanbul Jakarta Johannesburg Karachi Kiev Krakow Lagos Leeds
    Leipzig Lisbon Liverpool London Lyon Madrid Manchester Manila Marseille Melbourne Memphis Miami
    Milan Milwaukee Minneapolis Montreal Moscow Mumbai Munich Nairobi Naples Nottingham Osaka Oslo
    Ottawa Oxford Paris Perth Philadelphia Pittsburgh Plymouth Portland Prague Rome Rotterdam
    Sacramento Salzburg Santiago Seattle Seoul Shanghai Singapore Sofia Stockholm Stuttgart Tokyo
    Toronto Toulouse Turin Utrecht Vancouver Venice Vienna Warsaw Zagreb Zurich
    """.split()
)

TITLES = frozenset(
    """
    Mr Mrs Ms Miss Mister Dr Doctor Prof Professor Sir Lady Lord Dame Captain Capt Colonel Col
    General Gen Major Lieutenant Lt Sergeant Sgt Inspector Detective Officer Agent Father Sister
    Reverend Rev President Senator Governor Judge Count Countess Baron King Queen Prince Princess
    """.split()
)
