"""The one script of the page: candles that can be moved, zoomed and read, over a picture that stands alone.

The page works without it: the script hides the still picture only once it has drawn its own, and print shows
the picture. It fetches nothing, and the page's policy lets this text run and no other, by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import math
from html import escape

import numpy as np

from quantum_trader.evaluate.report.data import SignalCandles

SCRIPT = """
(function(){"use strict";
var NS="http://www.w3.org/2000/svg",box=document.querySelector(".candles");
if(!box||!window.PointerEvent)return;
var d=box.dataset,unit=Math.pow(10,-d.digits),digits=Math.max(0,+d.digits),SAY=["HOLD","BUY","SELL"];
function sums(text){var sum=0;return text.split(" ").map(function(v){return sum+=+v})}
var close=sums(d.close),n=close.length,time=sums(d.time);
function by(text){return text.split(" ").map(function(v,i){return close[i]+ +v})}
var open=by(d.open),high=by(d.high),low=by(d.low),act=d.actions;
var H=330,L=64,R=12,T=10,B=28,W=720,first=0,count=0,at=-1,touches={},last=null,queued=false;
function make(name,host,style){var e=document.createElementNS(NS,name);e.setAttribute("class",style);
host.appendChild(e);return e}
var live=document.createElement("div");live.className="live";
var bar=document.createElement("p");bar.className="tools";
var said=document.createElement("output");
[["\\u2212","zoom out",function(){zoom(1.5,.5)}],["+","zoom in",function(){zoom(1/1.5,.5)}],
["\\u2190","earlier",function(){pan(-count/3)}],["\\u2192","later",function(){pan(count/3)}]].forEach(
function(b){var e=document.createElement("button");e.type="button";e.textContent=b[0];e.title=b[1];
e.setAttribute("aria-label",b[1]);e.onclick=b[2];bar.appendChild(e)});
bar.appendChild(said);
var svg=document.createElementNS(NS,"svg");svg.setAttribute("tabindex","0");svg.setAttribute("role","img");
svg.setAttribute("aria-label",d.title+". Arrow keys move the cross-hair, plus and minus zoom.");
var g=make("g",svg,""),P={};
["grid","axis","rise","fall","buy","sell","hair"].forEach(function(k){P[k]=make("path",g,k)});
var words=make("g",svg,"");
live.appendChild(bar);live.appendChild(svg);box.appendChild(live);box.classList.add("lively");
function px(i){return L+(i-first+.5)*(W-L-R)/count}
function index(e){var r=svg.getBoundingClientRect();
return Math.floor(first+(e.clientX-r.left-L)*count/(W-L-R))}
function limit(){count=Math.max(Math.min(20,n),Math.min(n,count));first=Math.max(0,Math.min(n-count,first))}
function pan(bars){first+=bars;limit();later()}
function zoom(by,where){var was=count;count*=by;limit();first+=(was-count)*where;limit();later()}
function write(x,y,text,style){var t=make("text",words,"tick "+style);t.setAttribute("x",x);
t.setAttribute("y",y);t.textContent=text}
function price(v,k){return(v*unit).toLocaleString("en",{minimumFractionDigits:k,maximumFractionDigits:k})}
function moment(i){return new Date(time[i]*6e4).toISOString().slice(0,16).replace("T"," ")}
function later(){if(!queued){queued=true;requestAnimationFrame(draw)}}
function draw(){queued=false;W=Math.max(svg.clientWidth||720,240);H=W<500?280:330;
svg.setAttribute("viewBox","0 0 "+W+" "+H);svg.setAttribute("height",H);
var a=Math.max(0,Math.floor(first)),z=Math.min(n,Math.ceil(first+count)),lo=Infinity,hi=-Infinity,i;
for(i=a;i<z;i++){lo=Math.min(lo,low[i]);hi=Math.max(hi,high[i])}
var room=(hi-lo)*.08||1;lo-=room;hi+=room;
function py(v){return T+(hi-v)*(H-T-B)/(hi-lo)}
var p={grid:"",axis:"M"+L+" "+(H-B)+"H"+(W-R),rise:"",fall:"",buy:"",sell:"",hair:""};
words.textContent="";
var rough=(hi-lo)/5,ten=Math.pow(10,Math.floor(Math.log10(rough))),
step=Math.max(1,[1,2,2.5,5,10].map(function(k){return k*ten}).find(function(k){return k>=rough*.999}));
function rough10(k){var v=step*unit*Math.pow(10,k);return Math.abs(v-Math.round(v))>1e-6}
var few=0;while(few<digits&&rough10(few))few++;
for(var v=Math.ceil(lo/step)*step;v<=hi;v+=step){var y=py(v).toFixed(1);p.grid+="M"+L+" "+y+"H"+(W-R);
write(L-6,+y+4,price(v,few),"end")}
var each=(W-L-R)/count,w=Math.max(1,each*.62),s=Math.min(4.5,Math.max(2,each*.6)),
every=Math.ceil(count/Math.max(2,Math.floor((W-L-R)/110)));
for(i=a;i<z;i++){var x=px(i);if(x<L||x>W-R)continue;
var o=py(open[i]),c=py(close[i]),top=Math.min(o,c),h=Math.max(Math.abs(o-c),.8);
p[c<=o?"rise":"fall"]+="M"+x.toFixed(1)+" "+py(high[i]).toFixed(1)+"V"+top.toFixed(1)+"M"+x.toFixed(1)+" "+
(top+h).toFixed(1)+"V"+py(low[i]).toFixed(1)+"M"+(x-w/2).toFixed(1)+" "+top.toFixed(1)+"h"+w.toFixed(1)+"v"+
h.toFixed(1)+"h"+(-w).toFixed(1)+"z";
if(act[i]==="1")p.buy+="M"+x.toFixed(1)+" "+(py(low[i])+3).toFixed(1)+"l"+s+" "+s*1.6+"h"+-2*s+"z";
if(act[i]==="2")p.sell+="M"+x.toFixed(1)+" "+(py(high[i])-3).toFixed(1)+"l"+s+" "+-s*1.6+"h"+-2*s+"z";
if(i%every===0&&x>L+35&&x<W-R-35){p.axis+="M"+x.toFixed(1)+" "+(H-B)+"v4";
write(x.toFixed(1),H-B+17,moment(i).slice(5),"mid")}}
if(at>=0){at=Math.max(a,Math.min(z-1,at));p.hair="M"+px(at).toFixed(1)+" "+T+"V"+(H-B)+"M"+L+" "+
py(close[at]).toFixed(1)+"H"+(W-R);
said.textContent=moment(at)+"  O "+price(open[at],digits)+"  H "+price(high[at],digits)+"  L "+
price(low[at],digits)+"  C "+price(close[at],digits)+"  "+SAY[act[at]]}
else said.textContent="drag to move, pinch or Ctrl + wheel to zoom, point at a bar to read it";
for(var k in p)P[k].setAttribute("d",p[k])}
svg.addEventListener("pointerdown",function(e){touches[e.pointerId]=e;last=e;at=index(e);
try{svg.setPointerCapture(e.pointerId)}catch(_){ }later()});
svg.addEventListener("pointermove",function(e){var held=touches[e.pointerId],ids=Object.keys(touches);
if(held&&ids.length===2){var o=touches[ids[0]===""+e.pointerId?ids[1]:ids[0]],
was=Math.abs(held.clientX-o.clientX),now=Math.abs(e.clientX-o.clientX);
if(was>8&&now>8){var r=svg.getBoundingClientRect();
zoom(was/now,Math.max(0,Math.min(1,((e.clientX+o.clientX)/2-r.left-L)/(W-L-R))))}}
else if(held)pan((held.clientX-e.clientX)*count/(W-L-R));
if(held)touches[e.pointerId]=e;
at=index(e);later()});
["pointerup","pointercancel"].forEach(function(k){svg.addEventListener(k,function(e){
delete touches[e.pointerId]})});
svg.addEventListener("pointerleave",function(e){if(e.pointerType==="mouse"&&!touches[e.pointerId]){at=-1;later()}});
svg.addEventListener("wheel",function(e){if(!e.ctrlKey&&!e.metaKey)return;e.preventDefault();
var r=svg.getBoundingClientRect();zoom(e.deltaY>0?1.2:1/1.2,(e.clientX-r.left-L)/(W-L-R))},{passive:false});
svg.addEventListener("keydown",function(e){var k=e.key;if(k==="+"||k==="=")zoom(1/1.5,.5);
else if(k==="-")zoom(1.5,.5);
else if(k==="ArrowLeft"||k==="ArrowRight"){var by=k==="ArrowLeft"?-1:1;
at=at<0?Math.floor(first+count-1):Math.max(0,Math.min(n-1,at+by));
if(at<first)pan(at-first);else if(at>=first+count)pan(at-first-count+1);later()}
else return;e.preventDefault()});
window.addEventListener("resize",later);
count=(svg.clientWidth||720)<500?60:120;first=n-count;limit();draw();
})();
"""

HASH = "sha256-" + base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
"""What a content security policy calls the script by."""


def moving_candles(data: SignalCandles, still: str) -> str:
    """The still picture, with the numbers beside it from which the script draws its own.

    Prices are whole numbers of the last decimal that matters; closes and moments are differences to the bar
    before, the other prices differences to their close: a fifth of the size.
    """
    prices = np.stack([data.open, data.high, data.low, data.close])
    smallest = float(np.median(prices[1] - prices[2])) or float(np.abs(prices[3]).max()) * 1e-4 or 1.0
    digits = max(-3, min(9, 2 - math.floor(math.log10(smallest))))
    opened, high, low, close = np.rint(prices * 10.0**digits).astype(np.int64)
    fields = {
        "title": f"{data.symbol}: candles with the BUY and SELL signals of {data.agent}",
        "digits": str(digits),
        "time": _written(np.diff(data.timestamps.astype(np.int64) // 60_000, prepend=0)),
        "close": _written(np.diff(close, prepend=0)),
        "open": _written(opened - close),
        "high": _written(high - close),
        "low": _written(low - close),
        "actions": "".join(str(int(action)) for action in data.actions),
    }
    attributes = "".join(f' data-{name}="{escape(value, quote=True)}"' for name, value in fields.items())
    return f'<div class="candles"{attributes}>{still}</div>'


def _written(values: np.ndarray) -> str:
    return " ".join(map(str, values.tolist()))
