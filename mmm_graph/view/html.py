"""Graph -> one self-contained HTML page: the SVG with panning, zooming, tooltips and the paths of values."""

from __future__ import annotations

import json
from html import escape

from mmm_graph.graph.graph import Graph
from mmm_graph.view.scene import make_scene
from mmm_graph.view.svg import to_svg

STYLE = """
body{margin:0;font:13px/1.45 system-ui,'Segoe UI',Helvetica,Arial,sans-serif;color:#1d2733;background:#fff}
#view{position:fixed;inset:0;overflow:hidden;cursor:grab} #view.drag{cursor:grabbing}
#view>svg{position:absolute;left:0;top:0;transform-origin:0 0}
#tip{position:fixed;display:none;max-width:32rem;padding:.45rem .65rem;border-radius:6px;background:#1d2733;
 color:#fff;white-space:pre-wrap;font:12px/1.45 ui-monospace,Consolas,monospace;pointer-events:none;z-index:2}
#bar{position:fixed;right:12px;top:12px;display:flex;gap:6px;z-index:1}
#bar button,#bar input{font:inherit;padding:.25rem .6rem;border:1px solid #b9c6d8;border-radius:6px;background:#fff}
.dim .n,.dim g[data-value]{opacity:.18} .dim .on{opacity:1!important}
.found>rect{stroke-width:3.4!important}
@media print{#view{position:static;overflow:visible} #view>svg{position:static;transform:none!important;
 max-width:100%;height:auto} #bar,#tip{display:none!important}}
"""

SCRIPT = """
const view=document.getElementById('view'),svg=view.querySelector('svg'),tip=document.getElementById('tip');
const links=JSON.parse(document.getElementById('links').textContent);
const size=[svg.viewBox.baseVal.width,svg.viewBox.baseVal.height];
let scale=1,x=0,y=0,from=null,moved=false;
function place(){svg.style.transform=`translate(${x}px,${y}px) scale(${scale})`}
function fit(){scale=Math.min(innerWidth/size[0],1.4);x=Math.max(0,(innerWidth-size[0]*scale)/2);y=0;place()}
function zoom(by,cx,cy){const s=Math.min(6,Math.max(.08,scale*by));x=cx-(cx-x)*s/scale;y=cy-(cy-y)*s/scale;
 scale=s;place()}
view.addEventListener('wheel',e=>{e.preventDefault();
 if(e.ctrlKey||e.metaKey)zoom(Math.exp(-e.deltaY/300),e.clientX,e.clientY);
 else{x-=e.deltaX;y-=e.deltaY;place()}},{passive:false});
view.addEventListener('pointerdown',e=>{from=[e.clientX-x,e.clientY-y];moved=false});
addEventListener('pointermove',e=>{if(!from)return;const nx=e.clientX-from[0],ny=e.clientY-from[1];
 if(Math.abs(nx-x)+Math.abs(ny-y)>3){moved=true;view.classList.add('drag')}if(moved){x=nx;y=ny;place()}});
addEventListener('pointerup',()=>{from=null;view.classList.remove('drag')});
for(const t of svg.querySelectorAll('title')){t.parentNode.dataset.tip=t.textContent;t.remove()}
view.addEventListener('mousemove',e=>{const g=e.target.closest('[data-tip]');
 tip.style.display=g&&!from?'block':'none';if(!g)return;tip.textContent=g.dataset.tip;
 tip.style.left=Math.max(4,Math.min(e.clientX+14,innerWidth-tip.offsetWidth-8))+'px';
 tip.style.top=Math.max(4,Math.min(e.clientY+16,innerHeight-tip.offsetHeight-8))+'px'});
function trace(key){svg.classList.toggle('dim',!!key);
 for(const g of svg.querySelectorAll('.on'))g.classList.remove('on');if(!key)return;
 const on=new Set([key]),lines=new Set();
 for(const [value,source,targets] of links)if(source===key||targets.includes(key)){
  lines.add(value);on.add(source);if(source===key)targets.forEach(t=>on.add(t))}
 for(const g of svg.querySelectorAll('[data-item]'))if(on.has(g.dataset.item))g.classList.add('on');
 for(const g of svg.querySelectorAll('[data-value]'))if(lines.has(g.dataset.value))g.classList.add('on')}
view.addEventListener('click',e=>{if(moved)return;const g=e.target.closest('[data-item]');
 trace(g&&!g.classList.contains('picked')?g.dataset.item:null);
 const was=g&&g.classList.contains('picked');
 for(const o of svg.querySelectorAll('.picked'))o.classList.remove('picked');if(g&&!was)g.classList.add('picked')});
document.getElementById('find').addEventListener('input',e=>{const word=e.target.value.toLowerCase();
 for(const g of svg.querySelectorAll('[data-item]'))
  g.classList.toggle('found',word!==''&&(g.dataset.tip||'').toLowerCase().includes(word))});
document.getElementById('in').onclick=()=>zoom(1.25,innerWidth/2,innerHeight/2);
document.getElementById('out').onclick=()=>zoom(.8,innerWidth/2,innerHeight/2);
document.getElementById('fit').onclick=fit;fit();
"""


def to_html(graph: Graph) -> str:
    """A page that needs no network and no server: drag to move, ctrl + wheel to zoom, click a node to see its links."""
    edges = make_scene(graph).edges
    links = json.dumps([[e.key, e.source, [item for item, _ in e.targets]] for e in edges]).replace(
        "<", "\\u003c"
    )
    buttons = '<button id="in">+</button><button id="out">&minus;</button><button id="fit">fit</button>'
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(graph.name)}</title><style>{STYLE}</style></head><body>\n"
        f'<div id="bar"><input id="find" type="search" placeholder="find" aria-label="find">{buttons}</div>\n'
        f'<div id="view">{to_svg(graph)}</div><div id="tip"></div>\n'
        f'<script id="links" type="application/json">{links}</script>\n'
        f"<script>{SCRIPT}</script></body></html>\n"
    )
