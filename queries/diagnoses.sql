-- Every diagnosis as typed at the coding desk, with the labels of the code that was recorded for it.
select
    diagnosis.id,
    diagnosis.phrase,
    encounter.occurred_at,
    region.name as region,
    code.chapter,
    code.block,
    term.encounter_phase
from diagnosis
join encounter on encounter.id = diagnosis.encounter_id
join region on region.id = encounter.region_id
join code on code.code = diagnosis.code
join term on term.id = diagnosis.term_id
